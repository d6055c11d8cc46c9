"""The worked extensions in `examples/`: a collection, a model, a loss and a protocol, shown and run."""

import html
import importlib.util
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
from IPython.display import HTML, display

from cxrlib.analysis.new_data.example import write_example
from cxrlib.analysis.new_data.run import NewRun, train_on
from cxrlib.data.readers import CATALOGUE, READERS, own, read_collection
from cxrlib.errors import ParameterError
from cxrlib.networks.classifier import TRUNKS
from cxrlib.paths import project_root
from cxrlib.protocols import PROTOCOLS

NAMES = ("add_collection", "add_model", "add_loss", "add_protocol")
_REGISTRIES: tuple[dict[str, Any], ...] = (CATALOGUE, READERS, TRUNKS, PROTOCOLS)


def source(name: str) -> str:
    """Text of `examples/<name>.py`; ParameterError for a name that is not in `NAMES`."""
    return _path(name).read_text(encoding="utf-8").rstrip()


def show(name: str) -> None:
    """Display an example's code on the page, folded."""
    display(HTML(f"<details><summary>examples/{name}.py</summary><pre>{html.escape(source(name))}</pre></details>"))


def load(name: str) -> ModuleType:
    """Run `examples/<name>.py` and return its module; what it registers stays registered, see `restored`."""
    spec = importlib.util.spec_from_file_location(name, _path(name))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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
    """Train once with an extension in place, on the folder (with a table) `folder`.

    `scratch`: an empty folder in which the images are laid out as the new collection wants them.
    """
    with restored():
        module = load(name)
        if name == "add_collection":
            _lay_out(folder, scratch)
            return train_on(read_collection("clinic", scratch), save=False, **parameters)
        changes: dict[str, dict[str, Any]] = {
            "add_model": {"model": "small"},
            "add_loss": {"criterion": getattr(module, "LOSS", None)},
            "add_protocol": {"protocol": "unstopped"},
        }
        return train_on(folder, save=False, **(parameters | changes[name]))


def run_all(**parameters: Any) -> pd.DataFrame:
    """Every extension once on a clean example: extension, lines of code, collection, model, loss, protocol, epochs, AUROC."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = write_example(Path(scratch) / "clean", patients=18)
        runs = {name: run_extension(name, folder, Path(scratch) / "clinic", **parameters) for name in NAMES}
    rows = []
    for name, run in runs.items():
        config, provenance = run.record.config, run.record.provenance
        rows.append(
            {
                "extension": f"examples/{name}.py",
                "lines": len(source(name).splitlines()),
                "collection": run.check.collection.name,
                "model": config.model,
                "loss": "WeightedBrier" if name == "add_loss" else config.loss,
                "protocol": config.protocol,
                "epochs": provenance["epochs_run"],
                "AUROC": run.record.metrics["test"]["auroc"],
            }
        )
    return pd.DataFrame(rows)


def _path(name: str) -> Path:
    if name not in NAMES:
        raise ParameterError(f"unknown example '{name}': choose one of {', '.join(NAMES)}.")
    return project_root() / "examples" / f"{name}.py"


def _lay_out(folder: Path, scratch: Path) -> None:
    """The images of `folder` as covid/p<number>_1.png and other/p<number>_1.png under `scratch`."""
    images = own.read(folder).images
    patient = images["patient_id"].str.extract(r"(\d+)$")[0]
    place = images["label"].map({"covid": "covid", "non_covid": "other"})
    for path, number, name in zip(images["path"], patient, place, strict=True):
        (scratch / name).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, scratch / name / f"p{number}_1.png")
