"""`python -m cxrlib score PREDICTIONS --split split.csv`: anybody's predictions judged as the study's own are."""

import argparse
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from cxrlib.analysis.sentences import estimate
from cxrlib.errors import DataError, ParameterError
from cxrlib.evaluation.calibration import brier, expected_calibration_error, log_loss
from cxrlib.evaluation.comparison import compare_predictions, compare_sentence, holm
from cxrlib.paths import results_root
from cxrlib.records.evaluate import evaluate
from cxrlib.records.record import Record, read_records
from cxrlib.storage import atomic_path, check_folder

MARKER = "cxrlib-score.json"
SHOWN = ("auroc", "auprc", "sensitivity", "specificity", "bacc")
_SMALLEST = 1e-12  # probabilities are kept this far from 0 and 1 where their logit is needed
_DISAGREE = 1e-4  # a logit and a probability that differ more are not of one model


@dataclass(frozen=True)
class Score:
    """A file of predictions beside its split: rows as a record's predictions, metrics as `records.evaluate` has them."""

    name: str
    predictions: pd.DataFrame
    metrics: dict[str, Any]

    def test(self) -> pd.DataFrame:
        """Predictions on the test set."""
        return self.predictions[self.predictions["split"] == "test"].reset_index(drop=True)


def read_table(path: Path, needed: Sequence[str]) -> pd.DataFrame:
    """A CSV table (or Parquet file) with text ids and numbers read to their last digit; DataError names what is wrong."""
    try:
        if path.suffix == ".parquet":
            table = pd.read_parquet(path)
        else:
            text = {name: str for name in ("image_id", "split", "source")}
            table = pd.read_csv(path, dtype=text, index_col=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is not a readable table ({error}).".replace("\n", " ")) from error
    missing = [name for name in needed if name not in table]
    if missing:
        raise DataError(f"{path} lacks the column {missing[0]} (there are {', '.join(map(str, table))}).")
    if table.empty:
        raise DataError(f"{path} has no row.")
    return table


def read_split(path: Path) -> pd.DataFrame:
    """A table that `splits` wrote; DataError if it cannot be one."""
    split = read_table(path, ("split", "image_id", "label", "source", "component", "overlap"))
    for column, known in (("split", ("train", "valid", "test")), ("label", (0, 1)), ("overlap", (True, False))):
        wrong = split.loc[~split[column].isin(known), column]
        if len(wrong):
            raise DataError(
                f"{path}: the column {column} holds '{wrong.iloc[0]}', allowed are {', '.join(map(str, known))}."
            )
    if split["image_id"].isna().any() or split.duplicated(["split", "image_id"]).any():
        raise DataError(f"{path} has an image without a name, or twice in one part.")
    try:
        split = split.astype({"component": np.int64, "overlap": bool, "label": np.int8})
    except ValueError as error:
        raise DataError(f"{path}: components must be whole numbers ({error}).") from None
    for name, part in (("valid", split[split["split"] == "valid"]), ("test", split[split["split"] == "test"])):
        if part["label"].nunique() < 2:
            raise DataError(f"{path}: the {name} part lacks a class.")
    return split


def score(name: str, predictions: pd.DataFrame, split: pd.DataFrame) -> Score:
    """Predictions (image_id, probability and, if known, logit) judged on the validation and test part of a split.

    Rows of the training part are allowed and not looked at; a column `split` tells apart an image that stands in two
    parts. Raises DataError, in one sentence, for unknown, doubled or missing images, for probabilities that are no numbers
    from 0 to 1, and for a logit that is not that of its probability.
    """
    rows = split[split["split"] != "train"].reset_index(drop=True)
    keys = ["split", "image_id"] if "split" in predictions else ["image_id"]
    given = predictions[~predictions["image_id"].isin(split["image_id"])]
    if len(given):
        raise DataError(
            f"{name} has {len(given)} images that are not in the split, the first '{given['image_id'].iloc[0]}'."
        )
    doubled = predictions[predictions.duplicated(keys)]
    if len(doubled):
        raise DataError(f"{name} has {len(doubled)} images twice, the first '{doubled['image_id'].iloc[0]}'.")
    found = rows[keys].merge(predictions, how="left", on=keys, indicator=True)
    missing = rows[found["_merge"] == "left_only"]
    if len(missing):
        part, first = missing[["split", "image_id"]].iloc[0]
        raise DataError(f"{name} lacks {len(missing)} images of the split, the first '{first}' ({part}).")
    p = pd.to_numeric(found["probability"], errors="coerce")
    wrong = ~((p >= 0) & (p <= 1))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DataError(
            f"{name}: probability of '{rows['image_id'][row]}' is {found['probability'][row]}; all must be numbers from 0 to 1."
        )
    if "logit" in found:
        z = pd.to_numeric(found["logit"], errors="coerce").astype(np.float64)
        off = ~(np.abs(expit(z) - p) <= _DISAGREE) | ~np.isfinite(z)
        if off.any():
            row = int(np.argmax(off))
            raise DataError(f"{name}: logit and probability of '{rows['image_id'][row]}' are not of one model.")
    else:
        z = pd.Series(logit(p.clip(_SMALLEST, 1 - _SMALLEST)))
    columns = ["split", "image_id", "source", "component", "overlap", "label"]
    judged = rows[columns].assign(logit=z.to_numpy(), probability=p.to_numpy())
    return Score(name, judged, evaluate(judged))


def calibration(scored: Score | Record) -> dict[str, float]:
    """ECE, Brier score and cross-entropy of the test predictions."""
    test = scored.test()
    y, p = test["label"].to_numpy(), test["probability"].to_numpy()
    return {
        "ece": expected_calibration_error(y, p),
        "brier": brier(y, p),
        "log_loss": log_loss(y, test["logit"].to_numpy()),
    }


def comparable(scored: Score, records: Iterable[Record]) -> list[Record]:
    """The records whose networks learned something and were tested on the same images with the same labels."""
    same = scored.test().set_index("image_id")["label"].sort_index()
    found = []
    for record in records:
        theirs = record.test().set_index("image_id")["label"].sort_index()
        if not record.degenerate and theirs.index.equals(same.index) and (theirs.to_numpy() == same.to_numpy()).all():
            found.append(record)
    return found


def results_table(scored: Sequence[Score], records: Sequence[Record] = ()) -> pd.DataFrame:
    """A row a set of predictions, the best AUROC first: name, by, metrics with intervals, threshold transfer, sources, calibration."""
    rows = []
    judged: list[Score | Record] = [*scored, *records]
    for one in judged:
        name, by = (one.name, "submitted") if isinstance(one, Score) else (one.key, "recorded")
        test, tuned = one.metrics["test"], one.metrics["test_tuned"]
        row = {"name": name, "by": by, "images": test["n"]}
        row |= {f"{key}{end}": test[f"{key}{end}"] for key in SHOWN for end in ("", "_low", "_high")}
        row |= {"threshold": tuned["threshold"]}
        row |= {f"tuned_{key}": tuned[key] for key in ("sensitivity", "specificity", "bacc")}
        for key in ("within_source", "source_among_negatives"):
            row |= {f"{key}{end}": one.metrics[key][end.strip("_") or "value"] for end in ("", "_low", "_high")}
        rows.append(row | calibration(one))
    table = pd.DataFrame(rows)
    numbers = table.columns.difference(["name", "by", "images"])
    return table.astype(dict.fromkeys(numbers, float)).sort_values("auroc", ascending=False, ignore_index=True)


def paired_tests(first: Score, second: Score) -> pd.DataFrame:
    """McNemar's and DeLong's tests of two sets of predictions on the same test images: metric, pvalue, holm, sentence."""
    found = compare_predictions(first.test(), second.test())
    adjusted = holm([test.pvalue for test in found.values()])
    images = {"sensitivity": "COVID images", "specificity": "non-COVID images"}
    rows = [
        (
            metric,
            test.pvalue,
            corrected,
            compare_sentence(first.name, second.name, test, images.get(metric, "test images"), corrected),
        )
        for (metric, test), corrected in zip(found.items(), adjusted, strict=True)
    ]
    return pd.DataFrame(rows, columns=["metric", "pvalue", "holm", "sentence"])


def summary_sentence(scored: Score, records: Sequence[Record]) -> str:
    """What a set of predictions reaches, and where it stands among the recorded networks."""
    test, inside, source = (scored.metrics[key] for key in ("test", "within_source", "source_among_negatives"))
    text = f"{scored.name}: AUROC {estimate(test['auroc'], test['auroc_low'], test['auroc_high'])} on {test['n']:,} test images; "
    text += (
        "no source has both classes"
        if inside["value"] is None
        else f"{estimate(inside['value'], inside['low'], inside['high'])} within one source"
    )
    if source["value"] is not None:
        text += (
            f", and {estimate(source['value'], source['low'], source['high'])} for COVID-19's sources among negatives"
        )
    text += "."
    if not records:
        return f"{text} No recorded network was tested on these images."
    below = sum(record.metrics["test"]["auroc"] < test["auroc"] for record in records)
    return f"{text} Of {len(records)} recorded networks tested on the same images, {below} have a lower AUROC."


def write_report(folder: Path, scored: Sequence[Score], records: Sequence[Record]) -> None:
    """Write results.csv, the paired tests of two files and the metrics as JSON into `folder`; only an earlier report is replaced."""
    tables = {"results.csv": results_table(scored, records)}
    if len(scored) == 2:
        tables["paired_tests.csv"] = paired_tests(*scored)
    with atomic_path(folder, MARKER) as part:
        part.mkdir()
        for name, table in tables.items():
            table.to_csv(part / name, index=False)
        (part / "metrics.json").write_text(json.dumps({one.name: one.metrics for one in scored}, indent=1) + "\n")
        (part / MARKER).write_text(json.dumps({"files": [*tables, "metrics.json"]}) + "\n")


def locate_predictions(name: str) -> Path:
    """The file behind `name`: a table, the folder of a record, or a record's key."""
    path = Path(name).expanduser()
    folders = (path, *(results_root() / root / name for root in ("runs", "local")))
    for candidate in (path, *(folder / "predictions.parquet" for folder in folders), path / "predictions.csv"):
        if candidate.is_file():
            return candidate
    raise DataError(
        f"there are no predictions '{name}': give a CSV table with image_id and probability, or a record's key."
    )


def main(args: argparse.Namespace) -> int:
    """Print what the predictions reach and, with --report, write it; 0."""
    if len(args.predictions) > 2:
        raise ParameterError("give one file of predictions, or two to compare.")
    if args.report is not None:
        check_folder(args.report, MARKER)
    split = read_split(args.split)
    paths = [locate_predictions(name) for name in args.predictions]
    names = [path.stem if path.suffix == ".csv" else path.parent.name for path in paths]
    if len(set(names)) < len(names):
        names = [str(path) for path in paths]
    scored = [
        score(name, read_table(path, ("image_id", "probability")), split)
        for name, path in zip(names, paths, strict=True)
    ]
    records = comparable(scored[0], read_records()[0])
    print(*(summary_sentence(one, records) for one in scored), sep="\n")
    if len(scored) == 2:
        print(*paired_tests(*scored)["sentence"], sep="\n")
    if args.report is not None:
        write_report(args.report, scored, records)
        print(f"report: {args.report}")
    return 0
