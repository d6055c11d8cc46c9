"""`python -m cxrlib predict MODEL IMAGES`: a trained network of this project on images of any origin.

Predictions are written as they are made, so a call that was killed goes on where it stopped.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from tqdm import tqdm

from cxrlib.config import RunConfig, checked
from cxrlib.data.cohorts import build_cohort
from cxrlib.data.editions import load_edition
from cxrlib.data.readers.base import IMAGE_SUFFIXES
from cxrlib.data.samples import Samples
from cxrlib.errors import DataError, ParameterError, WeightsError
from cxrlib.images.decoding import (
    PHANTOM,
    QuarantineError,
    decode,
    min_max,
    preprocess,
    read_bytes,
    render_phantoms,
    to_uint8,
)
from cxrlib.images.equalisation import equalised
from cxrlib.networks.classifier import Classifier, build_network, misfit
from cxrlib.storage import atomic_path, check_writable, digest, file_digest
from cxrlib.training.precision import DTYPES, best_device
from cxrlib.training.runs import checkpoint_path
from cxrlib.training.segmentation import train_segmenter
from cxrlib.training.train import predict

CHUNK = 256  # images between two writes
WEIGHTS, CONFIG = "model.safetensors", "config.json"
COLUMNS = ("image_id", "logit", "probability", "reason")


@dataclass(frozen=True)
class Model:
    """A trained network with the config that says how its images are prepared."""

    config: RunConfig
    network: Classifier
    sha256: str


def load_model(name: str | Path) -> Model:
    """The network behind `name`: a record's key, a checkpoint's file, or the folder that a run on new data wrote.

    Raises WeightsError where there is none, or it does not fit its config.
    """
    path = Path(name).expanduser()
    path = path / WEIGHTS if path.is_dir() else path
    path = path if path.is_file() else checkpoint_path(Path(name).name)
    if not path.is_file():
        raise WeightsError(
            f"there is no model '{name}': give the folder of a run, a file of weights, or the key of a run whose weights are "
            "still in the cache (run it again to get them)."
        )
    try:
        beside = path.parent / CONFIG
        with safe_open(path, "pt") as file:
            text = (
                beside.read_text() if path.name == WEIGHTS and beside.is_file() else (file.metadata() or {})["config"]
            )
        values = json.loads(text)
        config, state = checked(RunConfig, values.get("config", values)), load_file(path)
    except (SafetensorError, OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise WeightsError(
            f"{path} is not a network that this project has trained ({type(error).__name__}: {error})."
        ) from error
    normalise = config.pretraining.startswith("imagenet") and config.rules.normalisation == "weights"
    network = build_network(
        config.model,
        config.image_size,
        config.seed,
        head=config.head,
        normalise=normalise,
        batch_norm=config.batch_norm,
    )
    problem = misfit(network, state)
    if problem:
        raise WeightsError(f"the weights in {path} do not fit a {config.model} of {config.image_size} px: {problem}.")
    network.load_state_dict(state)
    network.dtype = DTYPES[config.precision]
    return Model(config, network.to(best_device()), file_digest(path))


def list_images(source: Path) -> pd.DataFrame:
    """The images to predict: image_id and path, from a folder (every image file in it) or a CSV table.

    A table has a column `path` or `file`, relative to the table, and `image_id` (default: the file); names of images that
    the editions at hand hold need no file. Raises DataError for anything else.
    """
    if source.is_dir():
        found = sorted(path for path in source.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())
        if not found:
            raise DataError(f"there is no image in {source}: known are {', '.join(sorted(IMAGE_SUFFIXES))}.")
        names = [os.fsencode(path.relative_to(source).as_posix()).decode("utf-8", "backslashreplace") for path in found]
        return pd.DataFrame({"image_id": names, "path": [str(path) for path in found]})
    try:
        table = pd.read_csv(source, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise DataError(
            f"{source} is neither a folder of images nor a CSV table ({error}).".replace("\n", " ")
        ) from error
    column = next((name for name in ("path", "file", "image_id") if name in table), None)
    if column is None or table.empty:
        raise DataError(
            f"{source} needs at least one row and a column path, file or image_id (there are {', '.join(table)})."
        )
    table = table.assign(image_id=table["image_id" if "image_id" in table else column])
    table = table.drop_duplicates(["image_id", column])
    if table["image_id"].duplicated().any():
        raise DataError(
            f"{source} names two files for the image {table.loc[table['image_id'].duplicated(), 'image_id'].iloc[0]}."
        )
    paths = [str(source.parent / name) for name in table[column]]
    if column != "path" and not any(map(os.path.isfile, paths)):
        known = pd.concat([load_edition(name).images for name in ("open", "phantom")]).set_index("image_id")["path"]
        paths = table["image_id"].map(known).fillna(pd.Series(paths, table.index)).tolist()
    return pd.DataFrame({"image_id": table["image_id"].tolist(), "path": paths})


def predict_images(model: Model, images: pd.DataFrame, out: Path) -> pd.DataFrame:
    """Predict `images` (image_id, path) and write `out`: image_id, logit, probability; returns the rest: image_id, reason.

    What was predicted before a call was killed lies beside `out` under a name made from the model and the images, and is
    taken over. Images that cannot be read are listed in `<out>.unreadable.csv`.
    """
    check_writable(out.parent)
    identity = digest([model.sha256, *images["image_id"]])[:16]
    part = out.with_name(f".{out.name}.{identity}.part")
    done = _resumed(part)
    todo = images[~images["image_id"].isin(done["image_id"])]
    change = preparation(model.config) if len(todo) else None
    out.parent.mkdir(parents=True, exist_ok=True)
    with (
        part.open("w" if done.empty else "a", encoding="utf-8", newline="") as file,
        tqdm(
            total=len(images), initial=len(done), unit="image", file=sys.stderr, disable=not sys.stderr.isatty()
        ) as bar,
    ):
        if done.empty:
            file.write(",".join(COLUMNS) + "\n")
        for start in range(0, len(todo), CHUNK):
            _predict_chunk(model, todo.iloc[start : start + CHUNK], change).to_csv(file, index=False, header=False)
            file.flush()
            bar.update(min(CHUNK, len(todo) - start))
    rows = _resumed(part).set_index("image_id").loc[images["image_id"]].reset_index()
    lost = rows["reason"] != ""
    if lost.all():
        part.unlink()
        raise DataError(
            f"none of the {len(rows)} images can be read; the first, {rows['image_id'][0]}: {rows['reason'][0]}."
        )
    unreadable = rows.loc[lost, ["image_id", "reason"]].reset_index(drop=True)
    for file_name, table in (
        (f"{out.name}.unreadable.csv", unreadable),
        (out.name, rows[~lost].drop(columns="reason")),
    ):
        if len(table):
            with atomic_path(out.with_name(file_name)) as whole:
                table.to_csv(whole, index=False)
    part.unlink()
    return unreadable


def preparation(config: RunConfig) -> Callable[[np.ndarray], np.ndarray] | None:
    """What the config's `preparation` does to stored pixels uint8 [N, S, S]; the U-Net of 'lungs' is trained anew, as for the run."""
    if config.preparation == "minmax":
        return None
    if config.preparation == "equalised":
        return equalised
    study = config.edition != "own"
    edition = load_edition(config.edition if study else "auto")
    unseen = build_cohort(edition, config.cohort, config.rules, config.draw_seed).test["component"] if study else ()
    return train_segmenter(edition, config.image_size, frozenset(unseen), config.draw_seed).prepare


def _resumed(part: Path) -> pd.DataFrame:
    """The whole lines of an interrupted call; a last line that was cut is dropped from the file too."""
    if not part.is_file():
        return pd.DataFrame(columns=list(COLUMNS))
    text = part.read_bytes()
    whole = text[: text.rfind(b"\n") + 1]
    if len(whole) < len(text):
        part.write_bytes(whole)
    if not whole:
        return pd.DataFrame(columns=list(COLUMNS))
    return pd.read_csv(part, dtype=str, keep_default_na=False)


def _predict_chunk(model: Model, rows: pd.DataFrame, change: Callable[[np.ndarray], np.ndarray] | None) -> pd.DataFrame:
    with ThreadPoolExecutor(4) as pool:
        loaded = list(pool.map(lambda path: _load(path, model.config.image_size), rows["path"]))
    good = [image for image in loaded if isinstance(image, np.ndarray)]
    found = rows[["image_id"]].assign(
        logit="", probability="", reason=[x if isinstance(x, str) else "" for x in loaded]
    )
    if good:
        pixels = np.stack(good) if change is None else change(np.stack(good))
        logit = predict(model.network, Samples(pixels, np.zeros(len(pixels), np.int64), pd.DataFrame()))
        probability = (1.0 / (1.0 + np.exp(-logit.astype(np.float64)))).astype(np.float32)
        for name, values in (("logit", logit), ("probability", probability)):
            found.loc[found["reason"] == "", name] = [repr(float(value)) for value in values]
    return found


def _load(path: str, size: int) -> np.ndarray | str:
    """Pixels uint8 [size, size], or why there are none."""
    try:
        if path.startswith(PHANTOM):
            return to_uint8(min_max(render_phantoms([path], size)[0]))
        return preprocess(decode(read_bytes(path)), size)
    except QuarantineError as error:
        return error.reason


def main(args: argparse.Namespace) -> int:
    """Write the predictions; 3 if some images could not be read, else 0."""
    for path in (args.out, args.out.with_name(f"{args.out.name}.unreadable.csv")):
        if path.exists():
            raise ParameterError(f"{path} exists already: name another file with --out, or remove it.")
    model = load_model(args.model)
    images = list_images(args.images)
    unreadable = predict_images(model, images, args.out)
    for row in unreadable.head(5).itertuples():
        print(f"cannot be read: {row.image_id} ({row.reason})", file=sys.stderr)
    if len(unreadable):
        print(f"{len(unreadable)} images could not be read: {args.out}.unreadable.csv", file=sys.stderr)
    print(f"{len(images) - len(unreadable)} predictions by {model.config.model}: {args.out}")
    return 3 if len(unreadable) else 0
