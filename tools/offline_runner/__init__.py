"""The study on a machine without internet: volumes out (`package`), one command there, records back (`merge`)."""
