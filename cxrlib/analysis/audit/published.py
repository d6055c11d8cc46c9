"""The paper's own tables and statements under audit: what arithmetic alone says about them."""

from functools import cache
from math import prod
from typing import Any

import pandas as pd
import torch

from cxrlib.analysis.audit.detection import COLUMN_SETS
from cxrlib.analysis.audit.gains import DIFFERENCE, RELATIVE, GainFormula
from cxrlib.analysis.audit.quantities import QUANTITIES
from cxrlib.analysis.audit.report import Report, audit
from cxrlib.analysis.audit.resolution import p_range, pair_table, size_table
from cxrlib.analysis.audit.sentences import answer
from cxrlib.analysis.audit.sums import read_counts
from cxrlib.analysis.audit.table import Row, read_table
from cxrlib.evaluation.intervals import clopper_pearson
from cxrlib.images.augmentation import ANGLES
from cxrlib.networks.classifier import build_network
from cxrlib.paper.tables import HYPERPARAMETERS, PaperRow, table_2

STATED_GAIN = 0.0218
"""The improvement that section VI.D states for merging the training sets ("up to"), as a fraction."""

STATED_PARAMETERS = {"ResNet-50": 23e6, "ACNN": 8e6, "FCN head": 7000}
"""Trainable parameters that section VI.B states."""


@cache
def paper_report() -> Report:
    """The audit of the paper's Table II."""
    return audit(read_table("paper"))


def paper_row(report: Report, configuration: PaperRow) -> Row:
    """The audited row of a configuration of `cxrlib.paper.tables`, which lists Table II in the paper's order."""
    frame = table_2()
    keys = ["cohort", "model", "pretraining"]
    same = (frame[keys] == [getattr(configuration, key) for key in keys]).all(axis=1)
    beta = frame["beta"].isna() if configuration.beta is None else frame["beta"] == configuration.beta
    return report.table.rows[int(frame.index[same & beta][0])]


def counts_of(report: Report, row: Row) -> dict[str, int]:
    """TP, FN, TN, FP of a row whose figures settle them."""
    counts = report.counts_table().set_index("row").loc[row.number]
    return {name: int(counts[name]) for name in ("tp", "fn", "tn", "fp")}


def weight_lead() -> dict[str, Any]:
    """The paper's best row against the same configuration without a weight: figures, false positives, McNemar's p.

    Keys: row, other (numbers), bacc, other_bacc, points (lead in points of bACC), fp, other_fp, images, p_low and
    p_high (McNemar's exact p over every pairing the counts allow), nested (fp of the better all among the other's).
    """
    report, frame = paper_report(), table_2(baselines=False)
    best = PaperRow(**frame.loc[frame["bacc"].idxmax()].to_dict())
    row = paper_row(report, best)
    other = paper_row(report, PaperRow(**{**best.__dict__, "beta": None}))
    mine, theirs = counts_of(report, row), counts_of(report, other)
    low, high = p_range(mine["tn"], theirs["tn"], row.negatives)
    bacc, other_bacc = row.figures["bACC"].value, other.figures["bACC"].value
    return {
        "row": row.number, "other": other.number, "bacc": bacc, "other_bacc": other_bacc, "points": 100 * (bacc - other_bacc),
        "fp": mine["fp"], "other_fp": theirs["fp"], "images": row.negatives, "p_low": low, "p_high": high,
    }  # fmt: skip


def gain_readings() -> pd.DataFrame:
    """What "up to 2.18 %" could mean: reading, measure, value (percent), for the paper's best row.

    The stated gain is over the SqueezeNet baseline, in the mean of bACC and accuracy; the sentence it stands in speaks
    of merging training sets. The last line applies the formula of section VI.C with PPCR as it is defined there.
    """
    report = paper_report()
    gain = report.gain
    assert gain is not None
    best = report.table.rows[int(gain.rows.loc[gain.rows["printed"].idxmax(), "row"]) - 1]
    reference = report.table.rows[gain.formula.reference - 1]
    frame = table_2()
    settings = frame.loc[best.number - 1].to_dict() | {"cohort": "augmented"}
    settings["beta"] = None if pd.isna(settings["beta"]) else settings["beta"]
    before = paper_row(report, PaperRow(**settings))
    alone = GainFormula(("bACC",), RELATIVE, reference.number)
    points = GainFormula(("bACC",), DIFFERENCE, reference.number)
    rows = [
        ("best row over SqueezeNet, as printed", "mean of bACC and accuracy, relative", best.figures[gain.column].value),
        ("best row over SqueezeNet, recomputed", "mean of bACC and accuracy, relative", gain.formula.value(best, reference)),
        ("best row over SqueezeNet", "bACC, relative", alone.value(best, reference)),
        ("best row over SqueezeNet", "bACC, points", points.value(best, reference)),
        ("merged over augmented training set, same network", "mean of bACC and accuracy, relative", gain.formula.value(best, before)),
        ("merged over augmented training set, same network", "bACC, points", points.value(best, before)),
        ("best row over SqueezeNet", "mean of bACC and PPCR as defined, relative", _measure(report, best) / _measure(report, reference) - 1),
    ]  # fmt: skip
    return pd.DataFrame([(a, b, 100 * value) for a, b, value in rows], columns=["reading", "measure", "percent"])


def definition_points(report: Report, column: str) -> pd.DataFrame:
    """A column beside what its row's printed sensitivity and specificity say of it, under two definitions.

    Columns: row, label, status, printed, stated (by the header's definition), found (by the definition found). Rows
    that lack one of the three figures are left out.
    """
    headers = {what: header for header, what in report.columns.items()}
    rates = [headers.get(name) for name in ("sensitivity", "specificity")]
    rows = []
    for verdict in report.verdicts:
        row = verdict.row
        if column in row.figures and all(rate in row.figures for rate in rates):
            tp, tn = (
                row.figures[str(rate)].exact * n for rate, n in zip(rates, (row.positives, row.negatives), strict=True)
            )
            values = [
                _from_rates(what, float(tp), float(tn), row)
                for what in (report.table.columns[column], report.columns[column])
            ]
            rows.append((row.number, row.label, verdict.status, row.figures[column].value, *values))
    return pd.DataFrame(rows, columns=["row", "label", "status", "printed", "stated", "found"])


def augmented_counts() -> pd.DataFrame:
    """How many images the readings of section VI.A make of the 31: reading, factor, images, printed.

    The text names a flip and rotations by fixed angles; only a set that doubles at every step gives Table I's count.
    """
    counts = read_counts("paper")["Training COVID"]
    start, printed = int(counts.iloc[0]), int(counts.iloc[1])
    rotations = len(ANGLES)
    readings = {
        "each image and its flip, each rotated to every angle": 2 * rotations,
        "the same, with the unrotated kept": 2 * (1 + rotations),
        "flip, then at every angle a rotated copy of all images so far": prod([2] * (1 + rotations)),
    }
    rows = [(name, factor, start * factor, printed, start * factor == printed) for name, factor in readings.items()]
    return pd.DataFrame(rows, columns=["reading", "factor", "images", "printed", "agrees"])


def parameter_table() -> pd.DataFrame:
    """Trainable parameters by network and part at the paper's image size: network, part, parameters.

    The networks follow the released code; they are built without memory, so this takes no time.
    """
    rows = []
    for model, name in (("resnet50", "ResNet-50"), ("acnn", "ACNN")):
        with torch.device("meta"):
            network = build_network(model, int(HYPERPARAMETERS["image_size"]), seed=0)
        parts = {"trunk": network.trunk, "head": network.head}
        counted = {part: sum(p.numel() for p in module.parameters()) for part, module in parts.items()}
        kernels = sum(p.numel() for p in network.trunk.parameters() if p.ndim == 4)
        dense = max(p.numel() for p in network.head.parameters())
        counted |= {"trunk, convolution kernels": kernels, "head, largest layer's weights": dense}
        counted |= {"head without it": counted["head"] - dense, "whole": counted["trunk"] + counted["head"]}
        rows += [(name, part, count) for part, count in counted.items()]
    return pd.DataFrame(rows, columns=["network", "part", "parameters"])


def parameter_claims() -> pd.DataFrame:
    """Each stated number of parameters beside the part that fits it best: claim, stated, network, part, parameters, off.

    A network's own claim is compared with the whole of it; the head's, stated for both, with every part of either.
    `off` is the relative deviation of the part from the claim.
    """
    parts = parameter_table()
    rows = []
    for claim, stated in STATED_PARAMETERS.items():
        whole = (parts["network"] == claim) & (parts["part"] == "whole")
        among = parts[whole] if whole.any() else parts
        off = among["parameters"] / stated - 1
        best = among.loc[off.abs().idxmin()]
        rows.append(
            (claim, int(stated), best["network"], best["part"], int(best["parameters"]), float(off.abs().min()))
        )
    return pd.DataFrame(rows, columns=["claim", "stated", "network", "part", "parameters", "off"])


def headline(report: Report, shares: pd.DataFrame) -> dict[str, Any]:
    """The numbers that the chapter's prose quotes, by the name they are glued under.

    report: the audit of the chapter's table; shares: as `detection_share` gives them. All else is the paper's.
    """
    paper = paper_report()
    first, row = paper.table.rows[0], {v.row.number: v for v in paper.verdicts}
    perfect, one_missed = (clopper_pearson(first.positives - missed, first.positives) for missed in (0, 1))
    points, pairs = definition_points(paper, "PPCR"), pair_table(paper, "sensitivity")
    sizes = size_table([first.positives]).iloc[0]
    two, most = (
        shares[(shares["positives"] == first.positives) & (shares["printed"] == name)]
        for name in list(COLUMN_SETS)[::2]
    )
    parts = parameter_table().set_index(["network", "part"])["parameters"]
    readings, gain = gain_readings()["percent"], paper.gain
    assert gain is not None
    return {
        "answer": answer(report),
        "rows": len(row),
        "positives": first.positives,
        "negatives": first.negatives,
        "one_image": 100 / first.positives,
        "perfect_low": float(perfect[0]),
        "missed": first.positives - 1,
        "missed_low": float(one_missed[0]),
        "missed_high": float(one_missed[1]),
        **{f"ppcr_{name}_{end}": float(getattr(points[name], end)()) for name in ("stated", "printed") for end in ("min", "max")},
        "ppcr_fits": paper.renamed[0].fits_found,
        **{f"gain_{kind.split()[0]}": int(gain.formulas.query("kind == @kind")["fits"].max()) for kind in (RELATIVE, DIFFERENCE)},
        "gains": len(gain.rows),
        "gain_missing": 100 * float(gain.missing["computed"].iloc[0]),
        "stated_gain": 100 * STATED_GAIN,
        "gain_as_defined": float(readings.iloc[-1]),
        "gain_merged": float(readings.iloc[4]),
        **{f"lead_{name}": value for name, value in weight_lead().items()},
        "pairs_needed": int(sizes["pairs needed"]),
        "pairs_share": 100 * float(sizes["their share"]),
        "detectable": 100 * float(sizes["detectable"]),
        "pairs": len(pairs),
        "pairs_same": int((pairs["verdict"] == "cannot be told apart").sum()),
        "noticed_two": 100 * float(two["noticed"].iloc[0]),
        "noticed_most": 100 * float(most["noticed"].iloc[0]),
        "noticed_most_short": 100 * float(most["noticed"].iloc[-1]),
        "short": int(most["decimals"].iloc[-1]),
        "acnn": int(parts["ACNN", "whole"]),
        "acnn_dense": int(parts["ACNN", "head, largest layer's weights"]),
        "acnn_share": float(100 * parts["ACNN", "head, largest layer's weights"] / parts["ACNN", "whole"]),
        "acnn_kernels": int(parts["ACNN", "trunk, convolution kernels"]),
        "resnet": int(parts["ResNet-50", "whole"]),
        **_sizes(paper),
        "head_off": 100 * float(parameter_claims()["off"].iloc[-1]),
    }  # fmt: skip


def _sizes(report: Report) -> dict[str, Any]:
    """The nearest test sets that explain a row, by rounding, and how many explain the row that none does (in words)."""
    texts: dict[str, Any] = {}
    for (_, rounding), search in report.searches.items():
        key = "size_rounded" if rounding == "nearest" else "size_cut"
        if search.nearest is None:
            texts["size_none"] = "no"
        else:
            texts.setdefault(key, f"{search.nearest['positives']:,.0f} + {search.nearest['negatives']:,.0f}")
    return texts


def _from_rates(quantity: str, tp: float, tn: float, row: Row) -> float:
    p, n = row.positives, row.negatives
    (a, b, c), (d, e, f) = QUANTITIES[quantity].numerator(p, n), QUANTITIES[quantity].denominator(p, n)
    below = d * tp + e * tn + f
    return float((a * tp + b * tn + c) / below) if below else float("nan")


def _measure(report: Report, row: Row) -> float:
    """Section VI.C's measure of a row, with PPCR as defined there and counts instead of rounded figures."""
    counts = counts_of(report, row)
    values = [QUANTITIES[q].value(counts["tp"], counts["tn"], row.positives, row.negatives) for q in ("bacc", "ppcr")]
    return float(sum(values)) / 2
