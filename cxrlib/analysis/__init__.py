"""One module (or small package) a question of the book: records or images in, a frame or a sentence out; draws nothing.

`pairs` is the one pairing of runs. `table_2`, `single_run`, `effects`, `claims`, `released`, `related`, `pilot`: chapters 3 to 8.
`audit/`: chapter 7. `sources`, `cross_fitting`, `shortcuts/`, `attribution`: chapter 9. `beta/`: chapter 10. `benchmark/` and
`new_data/`: chapter 11. `answers`: the index.
"""
