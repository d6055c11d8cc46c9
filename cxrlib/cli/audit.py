"""`python -m cxrlib audit TABLE`: what in a printed table of results cannot be true."""

from cxrlib.analysis import audit as auditing
from cxrlib.errors import ParameterError


def audit(table: str, positives: int | None, negatives: int | None, columns: list[str]) -> int:
    """Print the audit of a table; 0 if nothing is impossible, 1 if something is."""
    declared = {}
    for text in columns:
        header, _, quantity = text.rpartition("=")
        if not header or not quantity:
            raise ParameterError(f"--column {text} is not allowed: write --column HEADER=QUANTITY.")
        declared[header.strip()] = quantity.strip()
    report = auditing.audit(auditing.read_table(table, positives, negatives, declared))
    print(report)
    return 0 if report.clean else 1
