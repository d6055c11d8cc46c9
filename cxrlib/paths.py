"""Where things lie: the project, the data, the weights, the cache, the results.

Nothing here depends on the working directory, because Jupyter Book runs a notebook in the notebook's
folder and papermill runs it in the shell's.
"""

import os
from pathlib import Path


def project_root() -> Path:
    """Folder that holds `_config.yml`, `chapters/` and `results/` (the parent of this package)."""
    return Path(__file__).resolve().parent.parent


def _from_environment(variable: str, default: Path) -> Path:
    value = os.environ.get(variable)
    return Path(value).expanduser().resolve() if value else default


def data_root() -> Path:
    """Folder of the image collections: `CXR_DATA`, else `data/` in the project."""
    return _from_environment("CXR_DATA", project_root() / "data")


def weights_root() -> Path:
    """Folder of pretrained weights (safetensors): `CXR_WEIGHTS`, else `weights/` in the project."""
    return _from_environment("CXR_WEIGHTS", project_root() / "weights")


def cache_root() -> Path:
    """Folder of what can be rebuilt (decoded images, checkpoints): `CXR_CACHE`, else `.cache/`."""
    return _from_environment("CXR_CACHE", project_root() / ".cache")


def results_root() -> Path:
    """Folder of the runs' records: `CXR_RESULTS`, else `results/` in the project."""
    return _from_environment("CXR_RESULTS", project_root() / "results")


def results_to_read(name: str) -> Path:
    """A file or folder of the study's results to read: under `results_root()`, else the committed one of the project.

    So a chapter or a command shows the study wherever its own results go.
    """
    found = results_root() / name
    return found if found.exists() else project_root() / "results" / name
