"""A trained network of this project on images of any origin; what was predicted before a call was killed is kept."""

import io
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from cxrlib.config import RunConfig
from cxrlib.data.editions import load_edition
from cxrlib.data.readers.base import IMAGE_SUFFIXES, files_under
from cxrlib.data.samples import Samples
from cxrlib.errors import DataError, WeightsError
from cxrlib.images.store import load_image, stamp
from cxrlib.networks.classifier import Classifier
from cxrlib.networks.weights import load_network
from cxrlib.records.record import checkpoint_path
from cxrlib.storage import atomic_path, check_writable, digest, file_digest
from cxrlib.training.precision import DTYPES, best_device
from cxrlib.training.segmentation import Pixels, preparation
from cxrlib.training.train import predict

CHUNK = 256  # images between two writes
WEIGHTS = "model.safetensors"
COLUMNS = ["image_id", "logit", "probability", "reason"]


@dataclass(frozen=True)
class Model:
    """A trained network with the config that says how its images are prepared, and the SHA-256 of its file."""

    config: RunConfig
    network: Classifier
    sha256: str


def load_model(name: str | Path) -> Model:
    """The network behind a record's key, a file of weights, or the folder that `own` wrote; WeightsError without one."""
    path = Path(name).expanduser()
    path = path / WEIGHTS if path.is_dir() else path
    path = path if path.is_file() else checkpoint_path(Path(name).name)
    if not path.is_file():
        raise WeightsError(
            f"there is no model '{name}': give the folder of a run, a file of weights, or the key of a run whose weights are "
            "still in the cache (run it again to get them)."
        )
    config, network = load_network(path)
    network.dtype = DTYPES[config.precision]
    return Model(config, network.to(best_device()), file_digest(path))


def list_images(source: Path) -> pd.DataFrame:
    """The images to predict: image_id and path, from a folder (every image file in it, links followed) or a CSV table.

    A table has a column `path` or `file`, relative to it, and `image_id` (default: the file); images that the editions
    at hand hold need no file. Raises DataError for anything else.
    """
    if source.is_dir():
        names = [name for name in files_under(source, [""]) if Path(name).suffix.lower() in IMAGE_SUFFIXES]
        if not names:
            raise DataError(f"there is no image in {source}: known are {', '.join(sorted(IMAGE_SUFFIXES))}.")
        return pd.DataFrame({"image_id": names, "path": [str(source / name) for name in names]})
    try:
        table = pd.read_csv(source, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        reason = str(error).replace("\n", " ")
        raise DataError(f"{source} is neither a folder of images nor a CSV table ({reason}).") from error
    column = next((name for name in ("path", "file", "image_id") if name in table), None)
    if column is None or table.empty:
        there = ", ".join(table)
        raise DataError(f"{source} needs at least one row and a column path, file or image_id (there are {there}).")
    table = table.assign(image_id=table["image_id" if "image_id" in table else column])
    table = table.drop_duplicates(["image_id", column], ignore_index=True)
    twice = table.loc[table["image_id"].duplicated(), "image_id"]
    if len(twice):
        raise DataError(f"{source} names two files for the image {twice.iloc[0]}.")
    files = table[column].map(lambda name: str(source.parent / name))
    if column != "path" and not files.map(os.path.isfile).any():
        known = pd.concat([load_edition(name).images for name in ("open", "phantom")]).set_index("image_id")["path"]
        files = table["image_id"].map(known).fillna(files)
    return pd.DataFrame({"image_id": table["image_id"], "path": files})


def predict_images(model: Model, images: pd.DataFrame, out: Path) -> pd.DataFrame:
    """Predict `images` (image_id, path) and write `out`: image_id, logit, probability; returns the rest: image_id, reason.

    What was predicted before a call was killed lies beside `out` under a name made from the model and the images (their
    places, sizes and dates), and is taken over. Images that cannot be read are listed in `<out>.unreadable.csv`; DataError
    where none can be read.
    """
    check_writable(out.parent)
    out.parent.mkdir(parents=True, exist_ok=True)
    content = [model.sha256, images.to_numpy().tolist(), images["path"].map(stamp).tolist()]
    part = out.with_name(f".{out.name}.{digest(content)[:16]}.part")
    done = _resumed(part)
    todo = images[~images["image_id"].isin(done["image_id"])]
    change = preparation(model.config) if len(todo) else None
    with tqdm(total=len(images), initial=len(done), unit="image", disable=not sys.stderr.isatty()) as bar:
        for start in range(0, len(todo), CHUNK):
            rows = _predict_chunk(model, todo.iloc[start : start + CHUNK], change)
            rows.to_csv(part, mode="a", header=False, index=False)
            bar.update(len(rows))
    rows = _resumed(part).set_index("image_id").loc[images["image_id"]].reset_index()
    lost = rows["reason"] != ""
    if lost.all():
        part.unlink()
        first = "{image_id}: {reason}".format(**rows.iloc[0])
        raise DataError(f"none of the {len(rows)} images can be read; the first, {first}.")
    unreadable = rows.loc[lost, ["image_id", "reason"]].reset_index(drop=True)
    for name, table in ((f"{out.name}.unreadable.csv", unreadable), (out.name, rows.loc[~lost, COLUMNS[:3]])):
        if len(table):
            with atomic_path(out.with_name(name)) as whole:
                table.to_csv(whole, index=False)
    part.unlink()
    return unreadable


def _resumed(part: Path) -> pd.DataFrame:
    """The whole lines of an interrupted call, all as text; a last line that was cut leaves the file too."""
    text = part.read_bytes() if part.is_file() else b""
    whole = text[: text.rfind(b"\n") + 1] or f"{','.join(COLUMNS)}\n".encode()
    if whole != text:
        part.write_bytes(whole)
    return pd.read_csv(io.BytesIO(whole), dtype=str, keep_default_na=False)


def _predict_chunk(model: Model, rows: pd.DataFrame, change: Callable[[Pixels], Pixels] | None) -> pd.DataFrame:
    with ThreadPoolExecutor(4) as pool:
        loaded = list(pool.map(lambda path: load_image(path, None, model.config.image_size)[0], rows["path"]))
    reasons = [found if isinstance(found, str) else "" for found in loaded]
    found = rows[["image_id"]].assign(logit=np.nan, probability=np.nan, reason=reasons)
    good = [image for image in loaded if not isinstance(image, str)]
    if good:
        pixels = np.stack(good) if change is None else change(np.stack(good))
        logit = predict(model.network, Samples(pixels, np.zeros(len(pixels), np.int64), pd.DataFrame()))
        probability = (1.0 / (1.0 + np.exp(-logit.astype(np.float64)))).astype(np.float32)
        found.loc[found["reason"] == "", ["logit", "probability"]] = np.column_stack([logit, probability]).astype(float)
    return found
