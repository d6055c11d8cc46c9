"""Arrays in, numbers out: what predictions are worth. Knows no type of the study's own.

`metrics`: counts, rates and areas of section VI.C. `intervals`: exact ones and the bootstrap over patients and runs.
`comparison`: paired tests. `sources`: what is left within one source. `decisions`: calibration and costs.
"""
