"""What chapter 11 shows of a run on new data, and the files that it leaves in the report's folder."""

import json
import tempfile
from pathlib import Path

import pandas as pd
from safetensors.torch import save_file

from cxrlib.analysis.benchmark.predict import CONFIG, WEIGHTS
from cxrlib.analysis.new_data.checklists import checklist
from cxrlib.analysis.new_data.run import NewRun, by_group
from cxrlib.analysis.sentences import count, estimate
from cxrlib.analysis.single_run import comparison_table, provenance_table
from cxrlib.data.check.association import association
from cxrlib.data.check.report import gather
from cxrlib.storage import atomic_path, check_folder

MARKER = "cxrlib-report.json"
"""The file that says that a folder is a report, and lists its files; no other folder is ever replaced."""


def output_folder(output: str | None, data: str) -> Path:
    """The folder that the report goes to, or a new temporary one; ParameterError, before any work, where it may not."""
    if output is None:
        return Path(tempfile.mkdtemp(prefix="cxr-")) / "report"
    folder, source = Path(output).expanduser(), Path(data).expanduser()
    check_folder(folder, MARKER, source if source.exists() else None)
    return folder


def against_baseline(run: NewRun) -> pd.DataFrame:
    """The network and the thumbnail baseline on the same test images: by, metric, value, low, high."""
    rows = [
        (who, name, found[name], found[f"{name}_low"], found[f"{name}_high"])
        for who, found in (("network", run.record.metrics["test"]), ("8 x 8 thumbnails", run.baseline))
        for name in ("sensitivity", "specificity", "bacc", "auroc")
    ]
    columns = ["by", "metric", "value", "low", "high"]
    return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(columns[2:], float))


def tables(run: NewRun) -> dict[str, pd.DataFrame]:
    """Every table of the report by the name of its CSV file."""
    return {
        "check": run.check.table,
        "division": run.division.counts(),
        "left_out": run.division.left_out.value_counts("reason").rename("images").reset_index(),
        "metrics": comparison_table(run.record).drop(columns="paper"),
        "baseline": against_baseline(run),
        "by_source": by_group(run),
        "origin": association(gather(run.check.collection).images),
        "checklist": checklist(run.record, run.check),
        "provenance": provenance_table(run.record),
    }


def summary_sentence(run: NewRun) -> str:
    """Two sentences: what the check found, and what the network reaches beside the baseline."""
    errors, warnings = (int((run.check.table["verdict"] == name).sum()) for name in ("error", "warning"))
    ours, theirs = run.record.metrics["test"], run.baseline
    ahead = (
        "ahead" if ours["auroc_low"] is not None and ours["auroc_low"] > theirs["auroc"] else "not shown to be ahead"
    )
    return (
        f"The check of the data found {count(errors, 'error')} and {count(warnings, 'warning')}. On the {ours['n']} test images "
        f"the network reaches an AUROC of {estimate(ours['auroc'], ours['auroc_low'], ours['auroc_high'], 2)} and a baseline on "
        f"8 x 8 thumbnails {theirs['auroc']:.2f}: the network is {ahead} of it."
    )


def write_files(run: NewRun, found: dict[str, pd.DataFrame], folder: Path) -> pd.DataFrame:
    """Write tables, metrics, history and predictions, config and weights into `folder`; returns its files: file, KiB.

    `model.safetensors` with `config.json` is what `python -m cxrlib predict` takes. Only an earlier report is replaced.
    """
    record = run.record
    state = {name: value.detach().cpu().contiguous() for name, value in run.network.state_dict().items()}
    with atomic_path(folder, MARKER) as part:
        part.mkdir()
        for name, table in (found | {"history": record.history, "predictions": record.predictions}).items():
            table.to_csv(part / f"{name}.csv", index=False)
        for file, value in {
            "check.json": run.check.to_dict(),
            CONFIG: {"config": record.config.model_dump(), "inputs": dict(record.inputs)},
            "record.json": {"metrics": record.metrics, "provenance": record.provenance},
        }.items():
            (part / file).write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        save_file(state, part / WEIGHTS, metadata={"config": record.config.model_dump_json()})
        mark(part)
    sizes = {path.name: path.stat().st_size / 1024 for path in sorted(folder.iterdir())}
    return pd.DataFrame({"file": list(sizes), "KiB": list(sizes.values())})


def mark(folder: Path) -> None:
    """Write the marker that lists the folder's files."""
    files = sorted(path.name for path in folder.iterdir() if path.name != MARKER)
    (folder / MARKER).write_text(json.dumps({"files": files}, indent=1) + "\n", encoding="utf-8")
