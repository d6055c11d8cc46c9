"""What did a run leave, and is it whole? Files in, a verified `Record` out.

`record`: a run's record on disk. `evaluate`: its metrics from its predictions, and what its content must be. `analyses`:
recorded tables of what needs images. `provenance`: code, versions and machine. `tools/offline_runner/merge` brings
records made elsewhere.
"""
