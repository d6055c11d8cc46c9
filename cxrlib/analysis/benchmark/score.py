"""Which image trains, validates and tests, as a table any framework can read; and anybody's predictions judged on it."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from scipy.special import expit, logit
from sklearn.metrics import brier_score_loss

from cxrlib.analysis.sentences import estimate
from cxrlib.data.cohorts import build_cohort
from cxrlib.data.editions import Edition
from cxrlib.data.manifests import cxr_open
from cxrlib.data.samples import Samples, train_valid_split
from cxrlib.errors import DataError, ParameterError
from cxrlib.evaluation import comparison
from cxrlib.evaluation.decisions import expected_calibration_error, log_loss
from cxrlib.images.store import open_store
from cxrlib.paths import results_to_read
from cxrlib.records.evaluate import evaluate
from cxrlib.records.record import Record, load_record
from cxrlib.storage import atomic_path, check_folder
from cxrlib.training.configure import run_config

COHORTS = ("covidx_ray_5k", "combined")
COLUMNS = {
    "split": "train, valid or test",
    "image_id": "name of the image here, the same on every machine",
    "label": "1 = COVID-19, 0 = not",
    "source": "the collection's own sub-source",
    "component": "number of the patient group: images of one patient or of one picture share it",
    "overlap": "of a test image: whether its component also occurs in training (never under the clean protocol)",
    "file": "the publisher's own name of the file, inside its repository",
    "repository": "where the publisher keeps it",
    "commit": "and in which state",
    "sha256": "of the file as it lies here",
    "original_sha256": "of the publisher's file",
    "licence": "as the publisher states it",
}
"""Columns of a split's table."""


def split_table(
    edition: Edition, protocol: str = "clean", draw_seed: int = 0, cohort: str = "combined"
) -> pd.DataFrame:
    """What a run with these parameters trains, validates and tests on: a row an image of each part, columns `COLUMNS`.

    No image is read. Under `released` and `paper` an image may stand in two parts, or twice in one, as it did for the
    authors. Raises ParameterError for an unknown cohort or protocol.
    """
    if cohort not in COHORTS:
        raise ParameterError(f"cohort = '{cohort}' is not allowed: choose one of {', '.join(COHORTS)}.")
    config = run_config(
        edition=edition.name, cohort=cohort, protocol=protocol, draw_seed=draw_seed, pretraining="none", precision="float32"
    )  # fmt: skip
    drawn = build_cohort(edition, cohort, config.rules, draw_seed)
    rows = drawn.train.reset_index(drop=True).assign(overlap=False)
    labels = (rows["label"] == "covid").to_numpy().astype(np.int64)
    samples = Samples(np.zeros((len(rows), 1, 1), np.uint8), labels, rows)  # the split looks at no pixel
    train, valid = train_valid_split(samples, config, augmented=False)
    parts = {"train": train.table, "valid": valid.table, "test": drawn.test}
    found = pd.concat([part.assign(split=name) for name, part in parts.items()], ignore_index=True)
    listed = cxr_open()
    listed = listed.set_axis("cxr-open/" + listed["path"]).rename_axis("image_id")
    at = listed.reindex(found["image_id"]).reset_index(drop=True).replace("", None)  # the publisher's names
    return found.assign(
        label=(found["label"] == "covid").astype(int),
        file=at["original_path"].fillna(found["image_id"].str.partition("/")[2]),
        repository=at["source_repo"].fillna(found["collection"]),
        commit=at["source_commit"],
        original_sha256=at["original_sha256"].fillna(found["sha256"]),
    )[list(COLUMNS)]


def write_images(split: pd.DataFrame, edition: Edition, folder: Path, size: int) -> pd.DataFrame:
    """Write what the networks see of each image, a grey PNG of `size` x `size` pixels, into a new or empty folder.

    Returns `split` with `path`, relative to the folder's parent. Raises DataError where the images are not at hand.
    """
    check_folder(folder, None)
    edition.require_images()
    store = open_store(edition.images, size)
    bad = split.loc[split["image_id"].isin(store.quarantined["image_id"]), "image_id"]
    if len(bad):
        raise DataError(f"{len(bad)} images of the split cannot be read, the first {bad.iloc[0]}.")
    files = split["image_id"] + ".png"
    with atomic_path(folder) as part:
        for file, pixels in zip(files, store.take(split["image_id"]), strict=True):
            (part / file).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(part / file)
    return split.assign(path=f"{folder.name}/" + files)


MARKER = "cxrlib-score.json"
SHOWN = ("auroc", "auprc", "sensitivity", "specificity", "bacc")
SOURCES = ("within_source", "source_among_negatives")
ENDS = {"": "value", "_low": "low", "_high": "high"}
_PARTS, _TEXT = ("train", "valid", "test"), dict.fromkeys(("image_id", "split", "source"), str)
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


def read_table(path: Path, needed: Sequence[str] = ("image_id", "probability")) -> pd.DataFrame:
    """A CSV table (or Parquet file) with text ids and numbers read to their last digit; DataError names what is wrong."""
    try:
        if path.suffix == ".parquet":
            table = pd.read_parquet(path)
            table = table.astype({name: kind for name, kind in _TEXT.items() if name in table})
        else:
            table = pd.read_csv(path, dtype=_TEXT, index_col=False, float_precision="round_trip")
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
    for column, known in {"split": _PARTS, "label": (0, 1), "overlap": (True, False)}.items():
        wrong = split.loc[~split[column].isin(known), column]
        if len(wrong):
            raise DataError(f"{path}: {column} is '{wrong.iloc[0]}', allowed are {', '.join(map(str, known))}.")
    if split["image_id"].isna().any() or split.drop_duplicates().duplicated(["split", "image_id"]).any():
        raise DataError(f"{path} has an image without a name, or one of which two rows of a part say different things.")
    try:
        split = split.astype({"component": "Int64", "label": np.int8}).astype({"component": np.int64, "overlap": bool})
    except (TypeError, ValueError) as error:
        raise DataError(f"{path}: components must be whole numbers ({error}).") from None
    for name in _PARTS[1:]:
        if split.loc[split["split"] == name, "label"].nunique() < 2:
            raise DataError(f"{path}: the {name} part lacks a class.")
    return split


def score(name: str, predictions: pd.DataFrame, split: pd.DataFrame) -> Score:
    """Predictions (image_id, probability and, if known, logit) judged on the validation and test part of a split.

    Rows of the training part are not looked at; a column `split` tells apart an image that stands in two parts. Raises
    DataError for unknown, doubled or missing images, and for numbers that are no probability or not of one model.
    """
    rows = split[split["split"] != "train"].reset_index(drop=True)
    keys = ["split", "image_id"] if "split" in predictions else ["image_id"]
    again = split.duplicated(["split", "image_id"])  # as under `paper`, whose parts repeat an image
    twice = split.loc[again, "image_id"]
    repeated = predictions.duplicated(keys) & ~(predictions.duplicated() & predictions["image_id"].isin(twice))
    found = rows[keys].merge(predictions.drop_duplicates(keys), how="left", on=keys, indicator=True)
    for wrong, what in (
        (predictions[~predictions["image_id"].isin(split["image_id"])], "has {} images that are not in the split"),
        (predictions[repeated], "has {} images twice"),
        (rows[found["_merge"] == "left_only"], "lacks {} images of the split"),
    ):
        if len(wrong):
            raise DataError(f"{name} {what.format(len(wrong))}, the first '{wrong['image_id'].iloc[0]}'.")
    p = pd.to_numeric(found["probability"], errors="coerce").astype(np.float64)
    off = found[~p.between(0, 1)]
    if len(off):
        given = f"probability of '{off['image_id'].iloc[0]}' is {off['probability'].iloc[0]}"
        raise DataError(f"{name}: {given}; all must be numbers from 0 to 1.")
    z = pd.Series(logit(p.clip(_SMALLEST, 1 - _SMALLEST)))
    if "logit" in found:
        z = pd.to_numeric(found["logit"], errors="coerce").astype(np.float64)
        off = found[~np.isfinite(z) | ~(np.abs(expit(z) - p) <= _DISAGREE)]
        if len(off):
            raise DataError(f"{name}: logit and probability of '{off['image_id'].iloc[0]}' are not of one model.")
    columns = ["split", "image_id", "source", "component", "overlap", "label"]
    judged = rows[columns].assign(logit=z.to_numpy(), probability=p.to_numpy())
    return Score(name, judged, evaluate(judged))


def comparable(scored: Score, records: Iterable[Record]) -> list[Record]:
    """The records whose networks learned something and were tested on the same images with the same labels."""
    same = scored.test().set_index("image_id")["label"].to_dict()
    learned = [record for record in records if not record.degenerate]
    return [record for record in learned if record.test().set_index("image_id")["label"].to_dict() == same]


def results_table(scored: Sequence[Score], records: Sequence[Record] = ()) -> pd.DataFrame:
    """A row a set of predictions, the best AUROC first: metrics with intervals, threshold transfer, sources, calibration."""
    rows, judged = [], list[Score | Record]([*scored, *records])
    for one in judged:
        name, by = (one.name, "submitted") if isinstance(one, Score) else (one.key, "recorded")
        test, tuned, held = one.metrics["test"], one.metrics["test_tuned"], one.test()
        row = {"name": name, "by": by, "images": test["n"]}
        row |= {f"{key}{end}": test[f"{key}{end}"] for key in SHOWN for end in ENDS}
        row |= {"threshold": tuned["threshold"]} | {f"tuned_{key}": tuned[key] for key in SHOWN[2:]}
        row |= {f"{key}{end}": one.metrics[key][part] for key in SOURCES for end, part in ENDS.items()}
        y, p = held["label"], held["probability"]
        row |= {"ece": expected_calibration_error(y, p), "brier": brier_score_loss(y, p, pos_label=1)}
        row |= {"log_loss": log_loss(y, held["logit"])}
        rows.append(row)
    table = pd.DataFrame(rows, columns=None if rows else ["name", "by", "images", "auroc"])
    numbers = table.columns.difference(["name", "by", "images"])
    return table.astype(dict.fromkeys(numbers, float)).sort_values("auroc", ascending=False, ignore_index=True)


def paired_tests(first: Score, second: Score) -> pd.DataFrame:
    """McNemar's and DeLong's tests of two sets of predictions on the same test images: metric, pvalue, holm, sentence."""
    return comparison.paired_tests(first.test(), second.test(), first.name, second.name)


def summary_sentence(scored: Score, records: Sequence[Record]) -> str:
    """What a set of predictions reaches, and where it stands among the recorded networks."""
    test, inside, source = (scored.metrics[key] for key in ("test", *SOURCES))
    text = f"{scored.name}: AUROC {estimate(test['auroc'], test['auroc_low'], test['auroc_high'])} on {test['n']:,} test images; "
    within = f"{estimate(*(inside[part] for part in ENDS.values()))} within one source"
    text += "no source has both classes" if inside["value"] is None else within
    if source["value"] is not None:
        text += f", and {estimate(*(source[part] for part in ENDS.values()))} for COVID-19's sources among negatives"
    if not records:
        return f"{text}. No recorded network was tested on these images."
    below = sum(record.metrics["test"]["auroc"] < test["auroc"] for record in records)
    return f"{text}. Of {len(records)} recorded networks tested on the same images, {below} have a lower AUROC."


def write_report(folder: Path, scored: Sequence[Score], records: Sequence[Record]) -> None:
    """Write results, paired tests of two files and metrics into `folder`; only an earlier report is replaced."""
    tables = {"results.csv": results_table(scored, records)}
    if len(scored) == 2:
        tables["paired_tests.csv"] = paired_tests(*scored)
    with atomic_path(folder, MARKER) as part:
        part.mkdir()
        for name, table in tables.items():
            table.to_csv(part / name, index=False)
        (part / "metrics.json").write_text(json.dumps({one.name: one.metrics for one in scored}, indent=1) + "\n")


def locate_predictions(name: str) -> Path:
    """The file behind `name`: a table, the folder of a record, or a record's key; RecordError for a damaged record."""
    path = Path(name).expanduser()
    for candidate in (path, path / "predictions.parquet", path / "predictions.csv"):
        if candidate.is_file():
            return candidate
    for folder in (results_to_read(root) / name for root in ("runs", "local")):
        if folder.is_dir() and load_record(folder):
            return folder / "predictions.parquet"
    raise DataError(
        f"there are no predictions '{name}': give a CSV table with image_id and probability, or a record's key."
    )
