"""Runs the worked extensions in `examples/`: a collection, a model, a loss and a protocol."""

import runpy
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from cxrlib.analysis.new_data.example import write_example
from cxrlib.analysis.new_data.run import NewRun, train_on
from cxrlib.data.readers import CATALOGUE, READERS, own, read_collection
from cxrlib.networks.classifier import TRUNKS
from cxrlib.paths import project_root
from cxrlib.protocols import PROTOCOLS

NAMES = ("add_collection", "add_model", "add_loss", "add_protocol")
_REGISTRIES: tuple[dict[str, Any], ...] = (CATALOGUE, READERS, TRUNKS, PROTOCOLS)


def load(name: str) -> dict[str, Any]:
    """Run `examples/<name>.py` and return its names; what it registers stays registered, see `restored`."""
    return runpy.run_path(str(_path(name)), run_name=name)


@contextmanager
def restored() -> Iterator[None]:
    """Afterwards the registries of collections, models and protocols are as they were before."""
    before = [dict(registry) for registry in _REGISTRIES]
    try:
        yield
    finally:
        for registry, old in zip(_REGISTRIES, before, strict=True):
            registry.clear()
            registry.update(old)


def run_extension(name: str, folder: Path, scratch: Path, **parameters: Any) -> NewRun:
    """Train once with an extension of `NAMES` in place, on the folder (with a table) `folder`.

    `scratch`: an empty folder in which the images are laid out as the new collection wants them.
    """
    with restored():
        made = load(name)
        if name == "add_collection":
            for image in own.read(folder).images.itertuples():  # covid/p<number>_1.png and other/p<number>_1.png
                place = scratch / {"covid": "covid", "non_covid": "other"}[image.label]
                place.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(image.path, place / f"{image.patient_id.rpartition(':')[2]}_1.png")
            return train_on(read_collection("clinic", scratch), save=False, **parameters)
        changes: dict[str, dict[str, Any]] = {
            "add_model": {"model": "small"},
            "add_loss": {"criterion": made.get("LOSS")},
            "add_protocol": {"protocol": "unstopped"},
        }
        return train_on(folder, save=False, **(parameters | changes[name]))


def run_all(**parameters: Any) -> pd.DataFrame:
    """Every extension once on a clean example: extension, lines of code, collection, model, loss, protocol, epochs, AUROC."""
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = write_example(Path(scratch) / "clean", patients=18)
        for name in NAMES:
            run = run_extension(name, folder, Path(scratch) / "clinic", **parameters)
            row = {
                "extension": f"examples/{name}.py",
                "lines": len(_path(name).read_text(encoding="utf-8").splitlines()),
                "collection": run.check.collection.name,
                "model": run.record.config.model,
                "loss": "WeightedBrier" if name == "add_loss" else run.record.config.loss,
                "protocol": run.record.config.protocol,
                "epochs": run.record.provenance["epochs_run"],
                "AUROC": run.record.metrics["test"]["auroc"],
            }
            rows.append(row)
    return pd.DataFrame(rows)


def _path(name: str) -> Path:
    return project_root() / "examples" / f"{name}.py"
