"""The audit: what in a printed table of a classifier's results cannot be true.

Figures keep their printed text, so that the number of decimals gives each its rounding interval; everything else is
exact arithmetic on confusion matrices (`lattice`). `python -m cxrlib audit TABLE` runs it on any table.
"""

from cxrlib.analysis.audit import definitions
from cxrlib.analysis.audit.command import add_arguments, main
from cxrlib.analysis.audit.report import Finding, Report, audit
from cxrlib.analysis.audit.search import search_sizes
from cxrlib.analysis.audit.sentences import answer
from cxrlib.analysis.audit.table import Table, example_path, read_table, table_from_cells

__all__ = [
    "Finding",
    "Report",
    "Table",
    "add_arguments",
    "answer",
    "audit",
    "definitions",
    "example_path",
    "main",
    "read_table",
    "search_sizes",
    "table_from_cells",
]
