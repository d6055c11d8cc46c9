"""`python -m cxrlib check DATA`: what is wrong with a collection before anything is trained on it."""

import json

from cxrlib.data import check as checking
from cxrlib.data.readers import read_data

STATUS = {"OK": 0, "warning": 3, "error": 1}
"""Exit status by the worst verdict; 2 is an error that the user must mend."""


def check(data: str, positive: str | None, as_json: bool) -> int:
    """Print the report; the exit status of its worst verdict."""
    report = checking.check(read_data(data, positive))
    print(json.dumps(report.to_dict(), indent=2, ensure_ascii=False) if as_json else report.to_text())
    return STATUS[report.worst]
