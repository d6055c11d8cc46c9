"""The audit: what in a printed table of a classifier's results cannot be true.

Figures keep their printed text, so that the number of decimals gives each its rounding interval; everything else is
exact arithmetic on confusion matrices. `table` reads, `quantities` and `lattice` hold the arithmetic, `checks` (of a row)
and `columns` (over all rows) are the rules, and `report` runs them.
"""

from cxrlib.analysis.audit.report import audit
from cxrlib.analysis.audit.table import EXAMPLE, read_table

__all__ = ["EXAMPLE", "audit", "read_table"]
