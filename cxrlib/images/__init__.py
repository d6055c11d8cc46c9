"""What is in a file, and what does a network see of it? Pixels alone: no labels, no patients.

`decoding` turns a file into a grey image and uint8 [S, S], `store` does so once for a whole table, `augmentation`
makes the paper's 32 variants, `hashing` tells which pictures are the same, `damage` which files decode with a complaint,
and `phantom` renders synthetic radiographs with a known truth.
"""
