"""The audit: what in a printed table of a classifier's results cannot be true.

Figures keep their printed text, so that the number of decimals gives each its rounding interval; everything else is
exact arithmetic on confusion matrices. `lattice` holds the arithmetic, `table` reads, and `report` runs the `rules`.
"""

from cxrlib.analysis.audit.report import audit
from cxrlib.analysis.audit.table import EXAMPLE, read_table

__all__ = ["EXAMPLE", "audit", "read_table"]
