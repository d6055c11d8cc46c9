"""`python -m cxrlib splits`, `predict`, `score`: the benchmark's images, predictions of them, what they are worth."""

import sys
from pathlib import Path

from cxrlib.analysis.benchmark import score as scoring
from cxrlib.analysis.benchmark.predict import list_images, load_model, predict_images
from cxrlib.analysis.benchmark.score import split_table, write_images
from cxrlib.data.editions import load_edition
from cxrlib.errors import ParameterError
from cxrlib.paths import cache_root
from cxrlib.records.record import read_records
from cxrlib.storage import atomic_path, check_folder, digest, lock


def splits(
    protocol: str, seed: int, cohort: str, edition: str, licences: str, images: Path | None, size: int, out: Path
) -> int:
    """Write which image trains, validates and tests, and with `images` the pictures; 0."""
    if seed < 0 or not 32 <= size <= 1024:
        raise ParameterError("--seed must be at least 0 and --size from 32 to 1024.")
    _check_new(out)
    if images is not None and images.resolve().parent != out.resolve().parent:
        raise ParameterError(f"--images {images} must lie beside {out}, which names the pictures by relative paths.")
    found = load_edition(edition, licences)
    split = split_table(found, protocol, seed, cohort)
    if images is not None:
        split = write_images(split, found, images, size)
    with atomic_path(out) as part:
        split.to_csv(part, index=False)
    counts = split.groupby("split", sort=False)["label"].agg(["size", "sum"])
    print(*(f"{name}: {n} images, {positive} of COVID-19" for name, n, positive in counts.itertuples()), sep="\n")
    print(f"{found.short}, protocol {protocol}, draw seed {seed}, cohort {cohort}: {out}")
    return 0


def predict(model: str, images: Path, out: Path) -> int:
    """Write a network's predictions of a folder or table of images; 3 if some images could not be read, else 0."""
    unread = out.with_name(f"{out.name}.unreadable.csv")
    with lock(cache_root() / "locks" / digest(str(out.resolve()))[:16]):  # of two calls, the later finds the file there
        _check_new(out, unread)
        network, listed = load_model(model), list_images(images)
        unreadable = predict_images(network, listed, out)
    for row in unreadable.head(5).itertuples():
        print(f"cannot be read: {row.image_id} ({row.reason})", file=sys.stderr)
    if len(unreadable):
        print(f"{len(unreadable)} images could not be read: {unread}", file=sys.stderr)
    print(f"{len(listed) - len(unreadable)} predictions by {network.config.model}: {out}")
    return 3 if len(unreadable) else 0


def score(predictions: list[str], split: Path, report: Path | None) -> int:
    """Print what one or two files of predictions reach beside the recorded networks and, with `report`, write it; 0."""
    if len(predictions) > 2:
        raise ParameterError("give one file of predictions, or two to compare.")
    if report is not None:
        check_folder(report, scoring.MARKER)
    images = scoring.read_split(split)
    paths = [scoring.locate_predictions(name) for name in predictions]
    names = [path.parent.name if path.name == "predictions.parquet" else path.stem for path in paths]
    names = names if len(set(names)) == len(names) else [str(path) for path in paths]
    scored = [scoring.score(name, scoring.read_table(path), images) for name, path in zip(names, paths, strict=True)]
    found, aside = read_records()
    print(*aside, sep="\n", end="\n" if aside else "", file=sys.stderr)
    records = scoring.comparable(scored[0], found)
    print(*(scoring.summary_sentence(one, records) for one in scored), sep="\n")
    if len(scored) == 2:
        print(*scoring.paired_tests(*scored)["sentence"], sep="\n")
    if report is not None:
        scoring.write_report(report, scored, records)
        print(f"report: {report}")
    return 0


def _check_new(*paths: Path) -> None:
    for path in paths:
        if path.exists():
            raise ParameterError(f"{path} exists already: name another file with --out, or remove it.")
