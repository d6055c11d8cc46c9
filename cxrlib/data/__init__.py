"""Which images, of whom, in which set?

A collection is read into one image table (`schema`, `readers`), collections join into an edition whose rows carry their
linked component (`editions`, `components`), and a cohort is drawn from it under a protocol (`draws`, `cohorts`); up to
there no pixel is needed. `selection` and `samples` turn rows into arrays; `check` and `division` serve data of one's own.
"""
