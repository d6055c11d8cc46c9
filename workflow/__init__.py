"""The study on Snakemake: `drive` writes the `plan` of the grid and hands it to the Snakefile, whose jobs read it."""
