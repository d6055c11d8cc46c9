"""What did a run leave, and is it whole? Files in, a verified `Record` out.

`record`: a run's record on disk. `verify`: what its content must be. `evaluate`: its metrics from its predictions alone.
`analyses`: recorded tables of what needs images. `provenance`: code, versions and machine. `merge`: records made elsewhere.
"""
