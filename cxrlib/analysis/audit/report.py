"""The audit of one table: every rule over every row, and what came of it as findings, tables, text and JSON."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from cxrlib.analysis.audit import sentences
from cxrlib.analysis.audit.checks import IMPOSSIBLE, LAST_DIGIT, POSSIBLE, Verdict, judge
from cxrlib.analysis.audit.definitions import Renamed, rename_columns
from cxrlib.analysis.audit.gains import GainAudit, audit_gain
from cxrlib.analysis.audit.lattice import count, matrices
from cxrlib.analysis.audit.quantities import QUANTITIES
from cxrlib.analysis.audit.search import SizeSearch, search_sizes
from cxrlib.analysis.audit.table import Row, Table
from cxrlib.errors import DataError, ParameterError
from cxrlib.evaluation.intervals import clopper_pearson

NOTE = "note"
_ORDER = (IMPOSSIBLE, LAST_DIGIT, NOTE)


@dataclass(frozen=True)
class Finding:
    """One thing that cannot be true (IMPOSSIBLE), fits only if digits were cut off (LAST_DIGIT), or is worth knowing."""

    rule: str
    severity: str
    rows: tuple[int, ...]
    columns: tuple[str, ...]
    message: str


@dataclass(frozen=True)
class Report:
    """A table's audit. `columns` is what each column was found to hold; `searches` is by row number and rounding."""

    table: Table
    rounding: str
    columns: Mapping[str, str]
    renamed: tuple[Renamed, ...]
    verdicts: tuple[Verdict, ...]
    searches: Mapping[tuple[int, str], SizeSearch]
    gain: GainAudit | None
    findings: tuple[Finding, ...]
    searched: bool  # whether other test-set sizes were looked for

    @property
    def clean(self) -> bool:
        """Whether nothing in the table is impossible."""
        return all(finding.severity != IMPOSSIBLE for finding in self.findings)

    def rows_with(self, status: str) -> list[Verdict]:
        """The verdicts of one status."""
        return [verdict for verdict in self.verdicts if verdict.status == status]

    def findings_table(self) -> pd.DataFrame:
        """The findings: severity, rule, rows, finding; the gravest first."""
        return pd.DataFrame(
            [(f.severity, f.rule, ", ".join(map(str, f.rows)), f.message) for f in self.findings],
            columns=["severity", "rule", "rows", "finding"],
        )

    def counts_table(self) -> pd.DataFrame:
        """The confusion matrix behind each row (nullable integers, missing where none or several fit)."""
        rows = []
        for verdict in self.verdicts:
            row, counts = verdict.row, verdict.counts
            tp, tn = counts or (None, None)
            fn, fp = (None, None) if counts is None else (row.positives - counts[0], row.negatives - counts[1])
            rows.append((row.number, row.label, verdict.status, verdict.matrices, tp, fn, tn, fp))
        columns = ["row", "label", "status", "matrices", "tp", "fn", "tn", "fp"]
        return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(("tp", "fn", "tn", "fp"), "Int64"))

    def rates_table(self, level: float = 0.95) -> pd.DataFrame:
        """Every proportion with its exact interval: row, label, column, quantity, printed, k, n, rate, low, high.

        The count is the row's own where one matrix fits, else what the figure alone says; where no count prints the
        figure, or several do, count and interval are missing.
        """
        rows = [
            (verdict.row.number, verdict.row.label, header, self.columns[header], figure.text, *_proportion(verdict, header, self.columns))
            for verdict in self.verdicts
            for header, figure in verdict.row.figures.items()
            if header in self.columns and QUANTITIES[self.columns[header]].kind == "proportion"
        ]  # fmt: skip
        frame = pd.DataFrame(rows, columns=["row", "label", "column", "quantity", "printed", "k", "n"])
        frame = frame.astype({"k": "Int64", "n": "Int64"})
        low, high = np.full(len(frame), np.nan), np.full(len(frame), np.nan)
        known = frame["k"].notna().to_numpy(bool)
        k, n = (frame.loc[known, name].to_numpy(np.int64) for name in ("k", "n"))
        low[known], high[known] = clopper_pearson(k, n, level)
        rate = frame["k"].astype(float) / frame["n"].astype(float)
        return frame.assign(rate=rate, low=low, high=high)

    def to_dict(self) -> dict[str, Any]:
        """The whole report as plain values, ready for JSON."""
        counts = self.counts_table()
        return {
            "table": self.table.name,
            "rounding": self.rounding,
            "columns": {h: {"stated": self.table.columns[h], "found": what} for h, what in self.columns.items()},
            "findings": [asdict(finding) for finding in self.findings],
            "rows": counts.astype(object).where(counts.notna(), None).to_dict("records"),
            "sizes": [_search_dict(search) for search in self.searches.values()],
            "answer": sentences.answer(self),
        }

    def to_text(self) -> str:
        """The report for a terminal."""
        lines = [sentences.answer(self), ""]
        for finding in self.findings:
            lines.append(f"[{finding.severity}] {finding.message}")
        return "\n".join(lines if self.findings else lines[:1])


def audit(table: Table, rounding: str = "nearest", search: bool = True) -> Report:
    """Audit a table: definitions of columns, each row's figures, test-set sizes of impossible rows, gains, twins.

    rounding: how figures were shortened: "nearest" (ties may go either way), "truncated" or "either"; under "nearest"
    what fits only with digits cut off is reported as such. search: look for test sets that explain impossible rows.
    """
    columns, renamed = rename_columns(table)
    verdicts = tuple(judge(row, columns, rounding) for row in table.rows)
    searches = _searches(verdicts, columns, rounding) if search else {}
    gain = audit_gain(table)
    report = Report(table, rounding, columns, tuple(renamed), verdicts, searches, gain, (), search)
    found = [Finding("definition", IMPOSSIBLE, (), (r.column,), sentences.renamed(r)) for r in renamed]
    for verdict in verdicts:
        if verdict.status != POSSIBLE:
            rule = "granularity" if verdict.unreachable else "one matrix"
            found.append(Finding(rule, verdict.status, (verdict.row.number,), verdict.at_odds, sentences.verdict(verdict, report)))  # fmt: skip
    found += _gain_findings(table, gain)
    found += [
        Finding("twins", NOTE, (one.number, other.number), (), sentences.twins(one, other))
        for one, other in _twins(table)
    ]
    found += [Finding("not checked", NOTE, (), (column,), f"Column {column} is not checked: it is no quantity of a confusion matrix that the audit knows.") for column in table.unchecked]  # fmt: skip
    found += [Finding("reading", NOTE, (), (), note) for note in table.notes]
    found.sort(key=lambda finding: _ORDER.index(finding.severity))
    return Report(table, rounding, columns, tuple(renamed), verdicts, searches, gain, tuple(found), search)


def _searches(
    verdicts: tuple[Verdict, ...], columns: Mapping[str, str], rounding: str
) -> dict[tuple[int, str], SizeSearch]:
    """The searches over test-set sizes for every impossible row; a row with too many sizes to try has none."""
    found = {}
    for verdict in verdicts:
        if verdict.status == IMPOSSIBLE and len([header for header in verdict.row.figures if header in columns]) > 1:
            for how in dict.fromkeys((rounding, "either")):
                with suppress(ParameterError, DataError):  # `sentences.verdict` says so
                    found[verdict.row.number, how] = search_sizes(verdict.row, columns, how)
    return found


def _gain_findings(table: Table, gain: GainAudit | None) -> list[Finding]:
    if gain is None:
        note = f"No formula known to the audit reproduces half of column {table.gain}, so it is not checked."
        return [Finding("not checked", NOTE, (), (table.gain,), note)] if table.gain else []
    fits = int(gain.rows["fits"].sum())
    found = [Finding("gain formula", NOTE, (), (gain.column,), sentences.gain_formula(gain, fits))]
    for line in gain.misfits.itertuples():
        found.append(Finding("gain", IMPOSSIBLE, (int(line.row),), (gain.column,), sentences.gain_misfit(gain, line)))
    for line in gain.missing.itertuples():
        found.append(Finding("gain missing", NOTE, (int(line.row),), (gain.column,), sentences.gain_missing(line)))
    return found


def _twins(table: Table) -> list[tuple[Row, Row]]:
    """Pairs of rows on test sets of one size whose figures are all printed alike."""
    return [
        (one, other)
        for one, other in combinations(table.rows, 2)
        if len(one.figures) > 1
        and (one.positives, one.negatives, dict(one.figures)) == (other.positives, other.negatives, dict(other.figures))
    ]


def _proportion(verdict: Verdict, header: str, columns: Mapping[str, str]) -> tuple[int | None, int]:
    """Count and denominator of a proportion: from the row's one matrix, else from the figure alone."""
    row, quantity = verdict.row, QUANTITIES[columns[header]]
    a, b, c = quantity.numerator(row.positives, row.negatives)
    n = int(quantity.denominator(row.positives, row.negatives)[2])
    found = verdict.found if verdict.counts else matrices(row, {header: columns[header]})
    if not count(found):
        return None, n
    ends = np.concatenate([a * found[:, 0] + b * found[:, 1] + c, a * found[:, 0] + b * found[:, 2] + c])
    return (int(ends[0]), n) if ends.min() == ends.max() else (None, n)


def _search_dict(search: SizeSearch) -> dict[str, Any]:
    nearest = search.nearest
    return {
        "row": search.row,
        "rounding": search.rounding,
        "positives": list(search.positives),
        "negatives": list(search.negatives),
        "solutions": len(search.solutions),
        "nearest": None if nearest is None else {name: int(value) for name, value in nearest.items()},
    }
