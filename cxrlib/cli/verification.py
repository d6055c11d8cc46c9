"""Compute again what is committed, and compare: the reproducibility claim of the study.

Everywhere: each record's files, key, counts, rates and areas (from its predictions), the intervals of a sample of them, the
manifest against the data that the records name, every committed table's digest. Where the open edition's images are at hand:
every analysis from pixels. With `--runs N`: N of the records, trained again.
"""

import importlib
import pkgutil
from collections.abc import Iterator

import numpy as np
import pandas as pd

import cxrlib.analysis
from cxrlib.data.editions import Edition, load_edition
from cxrlib.errors import CxrError, RecordError
from cxrlib.paths import results_root
from cxrlib.records.analyses import ANALYSES, differences, read_analysis, record
from cxrlib.records.evaluate import check_metrics
from cxrlib.records.provenance import machine, versions
from cxrlib.records.record import Record, read_records
from cxrlib.training.precision import best_device
from cxrlib.training.runs import run

SAMPLE = 12
"""Records whose bootstrap intervals are computed again, spread evenly over all."""
LOGITS = 1e-6
"""How far a logit of a run that is trained again may lie off on the same machine with the same versions."""

Line = tuple[str, str, str, str]  # what, name, tolerance, difference ('' for none)


def verify(runs: int, write: bool) -> int:
    """Print a line a check and a table of what differs; 0 if nothing does, else 1. `write`: record the analyses anew instead."""
    import_analyses()
    edition = load_edition("open")
    if write:
        for analysis in ANALYSES.values():
            record(analysis, edition)
        return 0
    records, aside = read_records()
    lines: list[Line] = [("record", sentence.split()[1], "exact", sentence) for sentence in aside]
    for line in _checks(records, edition, runs):
        lines.append(line)
        print(f"{'differs' if line[3] else 'same':8} {line[0]:10} {line[1]} (tolerance: {line[2]})", flush=True)
    table = pd.DataFrame(lines, columns=["what", "name", "tolerance", "difference"])
    differing = table[table["difference"] != ""]
    plural = {"analysis": "analyses"}
    kinds = ", ".join(f"{count} {plural.get(what, what + 's')}" for what, count in table["what"].value_counts().items())
    where = (
        "" if edition.has_images else " (the open edition's images are not at hand: analyses were read, not computed)"
    )
    print(f"verified: {kinds}; {len(differing)} differ{where}")
    for row in differing.itertuples():
        print(f"  {row.what} {row.name}: {row.difference}")
    return int(len(differing) > 0)


def import_analyses() -> None:
    """Import every module of `cxrlib.analysis`, which registers the recorded analyses."""
    for module in pkgutil.walk_packages(cxrlib.analysis.__path__, "cxrlib.analysis."):
        importlib.import_module(module.name)


def _checks(records: list[Record], edition: Edition, runs: int) -> Iterator[Line]:
    others = {record.inputs["data"] for record in records if record.config.edition == "open"} - {edition.digest}
    named = ", ".join(sorted(str(data)[:12] for data in others))
    yield "manifest", edition.short, "exact", f"records were made on {named}" if others else ""
    sample = {records[i].key for i in np.linspace(0, len(records) - 1, min(SAMPLE, len(records))).astype(int)}
    for found in records:
        whole = found.key in sample
        yield "record", found.key, "1e-9" if whole else "1e-9, without intervals", _metrics(found) if whole else ""
    for name, analysis in sorted(ANALYSES.items()):
        again, difference = edition.has_images and not analysis.trains, ""
        try:
            read_analysis(name)
            difference = differences(analysis, edition) if again else ""
        except CxrError as error:
            difference = str(error)
        how = f"{analysis.tolerance:g}" if again else "exact, read and not computed"
        yield "analysis", name, how, difference
    for path in sorted((results_root() / "analyses").glob("*.json")):
        if path.stem not in ANALYSES:
            yield "analysis", path.stem, "exact", "no analysis of this name exists any more: remove its two files"
    for index in np.linspace(0, len(records) - 1, min(runs, len(records))).astype(int):
        yield _trained_again(records[index], edition)


def _metrics(found: Record) -> str:
    """The first figure of a record that its predictions do not give, intervals included; empty where there is none."""
    try:
        check_metrics(found.predictions, found.metrics, intervals=True)
    except RecordError as error:
        return str(error)
    return ""


def _trained_again(found: Record, edition: Edition) -> Line:
    here = {"machine": machine(best_device()), "versions": versions()}
    if any(found.provenance[name] != value for name, value in here.items()) or not edition.has_images:
        return "run", found.key, "not compared: made on another machine or with other versions", ""
    again = run(found.config, edition, rerun=True, save=False)
    gap = np.abs(again.predictions["logit"].to_numpy() - found.predictions["logit"].to_numpy()).max()
    return "run", found.key, f"{LOGITS:g} of a logit", "" if gap <= LOGITS else f"logits differ by up to {gap:.3g}"
