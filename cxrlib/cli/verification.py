"""Compute again what is committed, and compare: the reproducibility claim of the study.

Everywhere: each record's files, key and metrics (from its predictions; intervals of a sample), the manifest against the data
that the records name, every committed table's digest. With the open edition's images: every analysis. `--runs N`: N records.
"""

import importlib
import pkgutil
import re
from collections.abc import Iterator

import numpy as np
import pandas as pd
import torch

import cxrlib.analysis
from cxrlib.analysis.sentences import count
from cxrlib.data.editions import Edition, recorded_edition
from cxrlib.data.readers import cxr_open, read_collection
from cxrlib.errors import CxrError, RecordError
from cxrlib.paths import results_root
from cxrlib.records.analyses import ANALYSES, differences, read_analysis, record
from cxrlib.records.evaluate import check_metrics
from cxrlib.records.provenance import machine, versions
from cxrlib.records.record import Record, read_records
from cxrlib.training.precision import best_device
from cxrlib.training.runs import run

SAMPLE = 12  # records whose bootstrap intervals are computed again, spread evenly over all
LOGITS = 1e-6  # how far a logit may lie off that is trained again on the same machine with the same versions

Line = tuple[str, str, str, str | None]  # what, name, tolerance, difference ('': none; None: not compared)


def verify(runs: int, write: bool) -> int:
    """Print a line a check and a table of what differs; 0 if nothing does, else 1. `write`: record the analyses anew instead."""
    import_analyses()
    edition = recorded_edition()
    if write:
        for analysis in ANALYSES.values():
            record(analysis, edition)
        return 0
    records, aside = read_records()
    lines: list[Line] = [("record", sentence.split()[1], "exact", sentence) for sentence in aside]
    for line in _checks(records, edition, runs):
        lines.append(line)
        state = "skipped" if line[3] is None else "differs" if line[3] else "same"
        print(f"{state:8} {line[0]:10} {line[1]} (tolerance: {line[2]})", flush=True)
    table = pd.DataFrame(lines, columns=["what", "name", "tolerance", "difference"])
    differing, skipped = table[table["difference"].fillna("") != ""], table["difference"].isna()
    compared = table.loc[~skipped, "what"].value_counts()
    kinds = ", ".join(count(n, what, "analyses" if what == "analysis" else "") for what, n in compared.items())
    where = " (the images that the records are of are not at hand: analyses were read, not computed)"
    print(f"verified: {kinds}; {len(differing)} differ, {skipped.sum()} skipped{'' if edition.has_images else where}")
    for row in differing.itertuples():
        print(f"  {row.what} {row.name}: {row.difference}")
    return int(len(differing) > 0)


def import_analyses() -> None:
    """Import every module of `cxrlib.analysis`, which registers the recorded analyses."""
    for module in pkgutil.walk_packages(cxrlib.analysis.__path__, "cxrlib.analysis."):
        importlib.import_module(module.name)


def _checks(records: list[Record], edition: Edition, runs: int) -> Iterator[Line]:
    yield from _manifest(records, edition)
    sample = {one.key for one in _spread(records, SAMPLE)}
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
    for found in _spread([one for one in records if _repeatable(one, edition)] or records, runs):
        yield _trained_again(found, edition)


def _manifest(records: list[Record], edition: Edition) -> Iterator[Line]:
    """The edition against the records' data and components; the manifest in the package against the images at hand."""
    records = [found for found in records if found.config.edition == "open"]
    others = sorted({str(found.inputs["data"])[:12] for found in records} - {edition.digest[:12]})
    yield "manifest", edition.short, "exact", f"records were made on {', '.join(others)}" if others else ""
    tests = [found.test()[["image_id", "component"]] for found in records]
    stated = {pair for test in tests for pair in test.itertuples(index=False, name=None)}
    moved = sorted(stated.difference(edition.images[["image_id", "component"]].itertuples(index=False, name=None)))
    yield "manifest", "linked components", "exact", f"other links of {moved[0][0]}" if moved else ""
    if edition.has_images:
        listed, found = (
            table.images.set_index("image_id").drop(columns="path").astype("string").fillna("")
            for table in (cxr_open.read(), read_collection(cxr_open.NAME))
        )
        wrong = found.index[(found != listed.reindex(found.index)[found.columns]).any(axis=1)]
        difference = f"the row of {wrong[0]} is not that of the image" if len(wrong) else ""
        yield "manifest", "package against images", "exact", difference


def _spread(records: list[Record], most: int) -> list[Record]:
    """At most `most` of the records, spread evenly."""
    return [records[i] for i in np.linspace(0, len(records) - 1, min(most, len(records))).astype(int)]


def _metrics(found: Record) -> str:
    """The first figure of a record that its predictions do not give, intervals included; empty where there is none."""
    try:
        check_metrics(found.predictions, found.metrics, intervals=True)
    except RecordError as error:
        return str(error)
    return ""


def _repeatable(found: Record, edition: Edition) -> bool:
    """Whether the record was made on this machine, with any number of threads, and with the versions that are installed."""
    same = found.machine.rsplit(",", 1)[0] == machine(best_device()).rsplit(",", 1)[0]
    return same and found.provenance["versions"] == versions() and edition.has_images


def _trained_again(found: Record, edition: Edition) -> Line:
    if not _repeatable(found, edition):
        return "run", found.key, "made on another machine or with other versions", None
    here = torch.get_num_threads()
    torch.set_num_threads(int(re.findall(r", (\d+) thread", found.machine + ", 1 thread")[0]))
    try:
        again = run(found.config, edition, rerun=True, save=False)
    finally:
        torch.set_num_threads(here)
    gap = np.abs(again.predictions["logit"].to_numpy() - found.predictions["logit"].to_numpy()).max()
    return "run", found.key, f"{LOGITS:g} of a logit", "" if gap <= LOGITS else f"logits differ by up to {gap:.3g}"
