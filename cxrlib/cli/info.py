"""`python -m cxrlib info`: where things lie on this machine, what is complete, which versions run."""

from cxrlib import __version__
from cxrlib.config import MODELS
from cxrlib.data.editions import COLLECTIONS, find_edition
from cxrlib.data.readers.base import CATALOGUE, locate
from cxrlib.networks.weights import imagenet_file
from cxrlib.paths import cache_root, data_root, results_root, weights_root
from cxrlib.records.provenance import code_revision, machine, versions
from cxrlib.training.precision import best_device, hardware_precision


def info() -> int:
    """Print it, by heading and name; 0."""
    device, auto = best_device(), find_edition()
    cached = sum(file.stat().st_size for file in cache_root().rglob("*") if file.is_file())
    runs = list((results_root() / "runs").glob("*/record.json"))
    report: dict[str, dict[str, str]] = {
        "folders": {
            "data (CXR_DATA)": str(data_root()),
            "weights (CXR_WEIGHTS)": str(weights_root()),
            "cache (CXR_CACHE)": f"{cache_root()} ({cached // 2**20} MiB)",
            "results (CXR_RESULTS)": f"{results_root()} ({len(runs)} runs)",
        },
        "collections": {name: str(locate(name) or "missing: make data says how to get it") for name in CATALOGUE},
        "editions": {name: _edition(name) + (" <- auto" if name == auto else "") for name in COLLECTIONS},
        "ImageNet weights": {name: "there" if imagenet_file(name) else "none" for name in MODELS},
        "machine": {"device": machine(device), "arithmetic": hardware_precision(device)},
        "versions": versions() | {"cxrlib": f"{__version__} ({code_revision()[:12]})"},
    }
    for title, lines in report.items():
        print(title, *(f"  {name:24} {value}" for name, value in lines.items()), sep="\n")
    return 0


def _edition(name: str) -> str:
    lacking = [part for part in COLLECTIONS[name] if part != "phantom" and locate(part) is None]
    return f"lacks {', '.join(lacking)}" if lacking else "complete"
