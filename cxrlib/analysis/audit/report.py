"""The audit of one table: every rule over every row, and what came of it as findings, tables and text."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import combinations

import pandas as pd

from cxrlib.analysis import sentences
from cxrlib.analysis.audit import rules
from cxrlib.analysis.audit.lattice import QUANTITIES, count, search_sizes
from cxrlib.analysis.audit.rules import EMPTY, IMPOSSIBLE, LAST_DIGIT, NOTE, POSSIBLE
from cxrlib.analysis.audit.table import Table
from cxrlib.errors import DataError, ParameterError
from cxrlib.evaluation.intervals import clopper_pearson

ORDER = (IMPOSSIBLE, LAST_DIGIT, NOTE)


@dataclass(frozen=True)
class Finding:
    """One thing that cannot be true (IMPOSSIBLE), fits only if digits were cut off (LAST_DIGIT), or is worth knowing."""

    severity: str
    rule: str
    rows: tuple[int, ...]
    columns: tuple[str, ...]
    message: str


@dataclass(frozen=True)
class Report:
    """A table's audit."""

    table: Table
    columns: Mapping[str, str]  # what each column was found to hold
    renamed: rules.Renamed | None
    verdicts: list[rules.Verdict]
    searches: dict[int, tuple[pd.DataFrame, pd.DataFrame]]  # by row: digits rounded, and rounded or cut off
    gain: rules.GainAudit | None
    findings: list[Finding] = field(default_factory=list)  # the gravest first

    @property
    def clean(self) -> bool:
        """Whether nothing in the table is impossible."""
        return all(finding.severity != IMPOSSIBLE for finding in self.findings)

    @property
    def answer(self) -> str:
        """Does the table add up? Two sentences, from the findings alone."""
        statuses = [verdict.status for verdict in self.verdicts]
        possible, last, impossible, empty = map(statuses.count, (POSSIBLE, LAST_DIGIT, IMPOSSIBLE, EMPTY))
        rows = sentences.count(len(statuses) - empty, "row")
        first = [f"{possible} of {rows} can be true on the stated test set as printed"]
        first += [f"{last} only if digits were cut off or means taken of rounded figures"] * bool(last)
        first += [f"{impossible} cannot be true"] * bool(impossible)
        first += [f"{sentences.count(empty, 'more row')} with no figure to check"] * bool(empty)
        second = [self.renamed.short] if self.renamed else []
        second += [str(self.gain)] if self.gain else []
        text = "; ".join(second) or "every checked column can hold what its header says"
        return f"In {self.table.name} {sentences.listed(first)}. {text[0].upper()}{text[1:]}."

    def __str__(self) -> str:
        return "\n".join([self.answer, *(f"[{finding.severity}] {finding.message}" for finding in self.findings)])

    def counts_table(self) -> pd.DataFrame:
        """The confusion matrix behind each row (nullable integers, missing where none or several fit)."""
        lines = []
        for verdict in self.verdicts:
            row, (tp, tn) = verdict.row, verdict.counts or (pd.NA, pd.NA)
            counts = (tp, row.positives - tp, tn, row.negatives - tn)
            lines.append((row.number, row.label, verdict.status, count(verdict.found), *counts))
        names = ["tp", "fn", "tn", "fp"]
        frame = pd.DataFrame(lines, columns=["row", "label", "status", "matrices", *names])
        return frame.astype(dict.fromkeys(names, "Int64"))

    def marked_cells(self) -> pd.DataFrame:
        """Every printed figure with the gravest finding that names it: row, label, column, printed, status.

        A column that does not hold what its header says is marked in its header, which is row 0.
        """
        marks: dict[tuple[int, str], str] = {}
        for finding in reversed([finding for finding in self.findings if finding.severity != NOTE]):
            marks |= {(row, column): finding.severity for row in finding.rows or (0,) for column in finding.columns}
        columns = [*self.table.columns, *([self.table.gain] if self.table.gain else [])]
        lines = [(0, "", column, column, marks.get((0, column), POSSIBLE)) for column in columns]
        for row in self.table.rows:
            for column in columns:
                text = row.figures[column].text if column in row.figures else "–"
                lines.append((row.number, row.label, column, text, marks.get((row.number, column), POSSIBLE)))
        return pd.DataFrame(lines, columns=["row", "label", "column", "printed", "status"])

    def rates_table(self) -> pd.DataFrame:
        """Every proportion: row, label, status, column, quantity, value, k, n and its exact 95 % interval, low to high.

        The count is the row's own where one matrix fits, else what the figure alone says; where no count prints the
        figure, or several do, count and interval are missing.
        """
        lines = []
        for verdict in self.verdicts:
            row, sizes = verdict.row, (verdict.row.positives, verdict.row.negatives)
            for header, name in self.columns.items():
                quantity = QUANTITIES[name]
                if header not in row.figures or quantity.kind != "proportion":
                    continue
                figure, n = row.figures[header], quantity.whole(*sizes)
                k, reach = round(figure.value * n), figure.half_unit * n
                if verdict.counts:
                    k = round(n * quantity.value(*verdict.counts, *sizes))
                known = verdict.counts or (0 <= k <= n and abs(k - figure.value * n) <= reach < 0.5)
                found = (k, n, *map(float, clopper_pearson(k, n))) if known else (pd.NA, n, float("nan"), float("nan"))
                lines.append((row.number, row.label, verdict.status, header, name, float(figure.value), *found))
        columns = ["row", "label", "status", "column", "quantity", "value", "k", "n", "low", "high"]
        return pd.DataFrame(lines, columns=columns).astype({"k": "Int64"})


def audit(table: Table) -> Report:
    """Audit a table: definitions of columns, each row's figures, other sizes for impossible rows, gains, equal rows."""
    renamed = rules.find_renamed(table)
    columns = {**table.columns, renamed.column: renamed.found} if renamed else table.columns
    verdicts = [rules.judge(row, columns) for row in table.rows]
    report = Report(table, columns, renamed, verdicts, {}, rules.audit_gain(table))
    for row in (verdict.row for verdict in verdicts if verdict.status == IMPOSSIBLE and len(verdict.row.figures) > 1):
        with suppress(ParameterError, DataError):  # too many sizes to try: `_findings` says so
            report.searches[row.number] = search_sizes(row, columns), search_sizes(row, columns, loose=True)
    report.findings.extend(sorted(_findings(report), key=lambda finding: ORDER.index(finding.severity)))
    return report


def _findings(report: Report) -> Iterator[Finding]:
    table, gain = report.table, report.gain
    if report.renamed:
        yield Finding(IMPOSSIBLE, "definition", (), (report.renamed.column,), str(report.renamed))
    for verdict in report.verdicts:
        number, status, text = verdict.row.number, verdict.status, rules.explain(verdict, report.columns)
        if number in report.searches:
            text += f" {rules.explain_sizes(*report.searches[number])}"
        elif status == IMPOSSIBLE and len(verdict.row.figures) > 1:
            text += " Other test sets were not tried, since there are too many."
        rule = "not checked" if status == EMPTY else "granularity" if verdict.unreachable else "one matrix"
        if status != POSSIBLE:
            yield Finding(NOTE if status == EMPTY else status, rule, (number,), verdict.at_odds, text)
    if gain is not None:
        yield Finding(NOTE, "gain formula", (), (gain.column,), f"Column {gain}.")
        for line in gain.rows[~gain.rows["fits"]].itertuples():
            missing, said = pd.isna(line.printed), f"Row {line.row} ({line.label}) prints"
            own, low, high, printed = (f"{100 * v:+.2f} %" for v in (line.computed, line.low, line.high, line.printed))
            said += " no gain; its" if missing else f" {gain.column} {printed}, but its own"
            text = f"{said} figures give {own} (between {low} and {high} for any rounding)."
            yield Finding(NOTE if missing else IMPOSSIBLE, "gain", (line.row,), (gain.column,), text)
    elif table.gain:
        text = f"No formula known to the audit reproduces half of column {table.gain}, so it is not checked."
        yield Finding(NOTE, "not checked", (), (table.gain,), text)
    for one, other in combinations(table.rows, 2):
        same = (one.positives, one.negatives, one.figures) == (other.positives, other.negatives, other.figures)
        if same and len(one.figures) > 1:
            text = f"Rows {one.number} and {other.number} print the same figures ({one.label}; {other.label})."
            yield Finding(NOTE, "equal rows", (one.number, other.number), (), text)
    yield from (Finding(NOTE, "reading", (), (), note) for note in table.notes)
