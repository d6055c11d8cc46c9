"""The report of a run on one's own data: a folder with one page that reads offline, its tables and its model."""

import base64
import html
import io
import json
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from safetensors.torch import save_file

from cxrlib.analysis.checklists import checklist
from cxrlib.data.check.association import association
from cxrlib.data.check.report import gather
from cxrlib.figures import experiments, own
from cxrlib.figures.style import use_style
from cxrlib.storage import atomic_path
from cxrlib.training.own import OwnRun, by_group

NOTE = "Research software, not a medical device."
_STYLE = """body{font:16px/1.5 sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}
table{border-collapse:collapse;font-size:.9rem}td,th{border-bottom:1px solid #ccc;padding:.2rem .7rem;text-align:left}
img{max-width:100%}.foot{color:#666;font-size:.85rem}"""


def against_baseline(run: OwnRun) -> pd.DataFrame:
    """The network and the thumbnail baseline on the same test images: by, metric, value, low, high."""
    rows = [
        (who, name, found[name], found[f"{name}_low"], found[f"{name}_high"])
        for who, found in (("network", run.record.metrics["test"]), ("8 x 8 thumbnails", run.baseline))
        for name in ("sensitivity", "specificity", "bacc", "auroc")
    ]
    columns = ["by", "metric", "value", "low", "high"]
    return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(columns[2:], float))


def metrics_table(run: OwnRun) -> pd.DataFrame:
    """Metrics of the test part with 95 % intervals, at 0.5 and at the threshold tuned on validation data."""
    return experiments.comparison_table(run.record).drop(columns="paper")


def tables(run: OwnRun) -> dict[str, pd.DataFrame]:
    """Every table of the report by the name of its CSV file."""
    facts = gather(run.check.collection)
    return {
        "check": run.check.table,
        "division": run.division.counts(),
        "left_out": run.division.left_out.value_counts("reason").rename("images").reset_index(),
        "metrics": metrics_table(run),
        "baseline": against_baseline(run),
        "by_source": by_group(run),
        "origin": association(facts.images),
        "checklist": checklist(run.record, run.check),
        "provenance": experiments.provenance_table(run.record),
    }


TITLES = {
    "check": "What the check of the data found",
    "division": "Images and patients of each part",
    "left_out": "Images left out, and why",
    "metrics": "Performance on the test part",
    "baseline": "The network beside a baseline that cannot see a lesion",
    "by_source": "Test images by source",
    "origin": "How much of the label the origin alone tells",
    "checklist": "CLAIM and TRIPOD+AI",
    "provenance": "How it was trained",
}


def figures(run: OwnRun, found: dict[str, pd.DataFrame]) -> dict[str, Figure]:
    """Every figure of the report, by the table it stands with."""
    return {
        "division": own.plot_division(found["division"]),
        "metrics": experiments.plot_curves(run.record),
        "baseline": own.plot_against_baseline(found["baseline"]),
        "origin": own.plot_association(found["origin"]),
        "provenance": experiments.plot_history(run.record),
    }


def write_report(run: OwnRun, folder: Path) -> Path:
    """Write the report into `folder` in one step, an older one being replaced, and return its page.

    index.html; the tables as CSV; check.json; the files of a record (config, metrics, provenance as JSON, history,
    predictions as CSV); model.safetensors, the trained weights.
    """
    use_style()
    found = tables(run)
    pictures = {name: _png(figure) for name, figure in figures(run, found).items()}
    record = run.record
    with atomic_path(folder) as part:
        part.mkdir()
        for name, table in found.items():
            table.to_csv(part / f"{name}.csv", index=False)
        for name, value in {
            "check": run.check.to_dict(),
            "config": {"config": record.config.to_dict(), "inputs": dict(record.inputs)},
            "record": {"metrics": record.metrics, "provenance": record.provenance},
        }.items():
            (part / f"{name}.json").write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        record.history.to_csv(part / "history.csv", index=False)
        record.predictions.to_csv(part / "predictions.csv", index=False)
        state = {name: value.detach().cpu().contiguous() for name, value in run.network.state_dict().items()}
        save_file(state, part / "model.safetensors")
        (part / "index.html").write_text(_page(run, found, pictures), encoding="utf-8")
    return folder / "index.html"


def _page(run: OwnRun, found: dict[str, pd.DataFrame], pictures: dict[str, bytes]) -> str:
    title = html.escape(f"{run.check.collection.title}: {run.record.config.model}")
    parts = [f"<h1>{title}</h1><p>{NOTE}</p><p>{html.escape(summary_sentence(run))}</p>"]
    for name, table in found.items():
        parts.append(f"<h2>{TITLES[name]}</h2>")
        if name in pictures:
            data = base64.b64encode(pictures[name]).decode()
            parts.append(f'<img alt="{TITLES[name]}" src="data:image/png;base64,{data}">')
        parts.append(table.to_html(index=False, border=0, float_format="{:.3f}".format, na_rep="–"))
    foot = f'<p class="foot">{html.escape(run.record.source)}</p>'
    head = f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style></head>'
    return f"{head}<body>{''.join(parts)}{foot}</body></html>\n"


def summary_sentence(run: OwnRun) -> str:
    """Two sentences: what the check found, and what the network reaches beside the baseline."""
    errors, warnings = ((run.check.table["verdict"] == name).sum() for name in ("error", "warning"))
    ours, theirs = run.record.metrics["test"], run.baseline
    low, high = ours["auroc_low"], ours["auroc_high"]
    interval = "" if low is None else f" (95 % interval {low:.2f} to {high:.2f})"
    ahead = "ahead" if low is not None and low > theirs["auroc"] else "not shown to be ahead"
    return (
        f"The check of the data found {errors} errors and {warnings} warnings. On the {ours['n']} test images the network reaches an "
        f"AUROC of {ours['auroc']:.2f}{interval} and a baseline on 8 x 8 thumbnails {theirs['auroc']:.2f}: the network is {ahead} of it."
    )


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    plt.close(figure)
    return buffer.getvalue()
