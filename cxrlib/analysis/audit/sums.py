"""Tables of counts: whether the rows that say they are sums of others are."""

import re
from itertools import product
from pathlib import Path

import pandas as pd

from cxrlib.analysis.audit.table import parse_figure, read_cells
from cxrlib.paper.tables import printed

_TOTAL = re.compile(r"\b(total|sum|all|overall)\b", re.IGNORECASE)


def read_counts(source: str | Path) -> pd.DataFrame:
    """A table of counts from a CSV file ("paper": the paper's Table I): labels as index, nullable integers.

    The first column holds the labels. Raises DataError for a cell that is neither a whole number nor a dash.
    """
    cells = pd.DataFrame(printed("table_1") if str(source) == "paper" else read_cells(source))
    cells = cells.set_index(cells.columns[0]).map(lambda text: figure.units if (figure := parse_figure(text, "count")) else None)  # fmt: skip
    return cells.astype("Int64")


def check_sums(counts: pd.DataFrame) -> pd.DataFrame:
    """Every row whose label says that it is a sum: label, parts, column, printed, sum, adds_up; a line a column.

    "A + B" is the sum of rows A and B, "Total" of all other rows. A part matches a row whose label starts with it
    (brackets and asterisks aside); where several do, the combination that makes most columns add up is taken. Columns
    in which fewer than two parts have a count are left out.
    """
    found = []
    for label in counts.index:
        others = [other for other in counts.index if other != label and "+" not in other and not _TOTAL.search(other)]
        named = [[other for other in others if _bare(other).startswith(_bare(part))] for part in label.split("+")]
        ways = [list(way) for way in product(*named) if len(set(way)) == len(way) > 1]
        ways += [others] * bool(_TOTAL.search(label))
        checked = []
        for parts in ways:
            parts_known = counts.columns[(counts.loc[parts].count() > 1) & counts.loc[label].notna()]
            sums = [(column, int(counts.loc[label, column]), int(counts.loc[parts, column].sum())) for column in parts_known]  # fmt: skip
            checked.append([(label, " + ".join(parts), *one, one[1] == one[2]) for one in sums])
        found += max(checked, key=lambda lines: sum(line[-1] for line in lines), default=[])
    return pd.DataFrame(found, columns=["label", "parts", "column", "printed", "sum", "adds_up"])


def _bare(label: str) -> str:
    return " ".join(re.sub(r"\([^)]*\)|\*", " ", label).lower().split())
