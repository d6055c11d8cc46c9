"""Which images, of whom, in which set?

A collection is read into one image table (`readers`), collections join into an edition whose rows carry their
linked component (`editions`), and a cohort is drawn from it under a protocol (`cohorts`); no pixel is needed so far.
`selection` and `samples` turn rows into arrays; `check` and `division` serve a user's images.
"""
