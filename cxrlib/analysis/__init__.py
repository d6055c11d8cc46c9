"""One module (or small package) a question of the book: records or images in, a frame or a sentence out; draws nothing.

`pairs` is the one pairing of runs. `datasets`, `preprocessing`: chapters 1 and 2. `experiments`, `effects`, `related`,
`released`: chapters 3 to 8. `audit/`: chapter 7. `sources`, `cross_fitting`, `shortcuts/`, `attribution`: chapter 9.
`beta/`: chapter 10. `new_data/`, `scaling`, `benchmark/`: chapters 11 to 13.
"""
