"""Figures of the book, drawn from the tables of `cxrlib.analysis`; `style` holds what several share."""
