"""The same study on other data: from a folder of images and a CSV table to a trained network and the checks on both.

`run` checks, divides, trains, tests and writes the report that chapter 11 shows, with what CLAIM and TRIPOD+AI ask for;
`example` writes a folder with problems planted.
"""
