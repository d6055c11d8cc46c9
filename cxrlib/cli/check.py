"""`python -m cxrlib check DATA` and `audit TABLE`: what is wrong with a collection, and with a printed table of results."""

import json

from cxrlib.analysis import audit as auditing
from cxrlib.data import check as checking
from cxrlib.data.readers import read_data
from cxrlib.errors import ParameterError

STATUS = {"OK": 0, "warning": 3, "error": 1}
"""Exit status by the worst verdict; 2 is an error that the user must mend."""


def check(data: str, positive: str | None, as_json: bool) -> int:
    """Print the report; the exit status of its worst verdict."""
    report = checking.check(read_data(data, positive))
    print(json.dumps(report.to_dict(), indent=2, ensure_ascii=False) if as_json else report.to_text())
    return STATUS[report.worst]


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
