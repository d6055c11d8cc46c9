"""`make study` hands the plan of the grid, a JSON file, to Snakemake, with one driver at a time."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import Timeout

from cxrlib.errors import ParameterError, RecordError
from cxrlib.paths import cache_root, project_root
from cxrlib.storage import lock


def plan_path() -> Path:
    """Where `make study` writes its plan."""
    return cache_root() / "study" / "plan.json"


def profile_folder(name: str) -> Path:
    """A committed Snakemake profile by name, or a folder of the user's; ParameterError if there is neither."""
    known = project_root() / "workflow" / "profiles"
    for folder in (known / name, Path(name).resolve()):
        if (folder / "config.yaml").is_file():
            return folder
    names = ", ".join(sorted(path.name for path in known.iterdir()))
    raise ParameterError(f"there is no Snakemake profile '{name}': choose {names}, or a folder with a config.yaml.")


def command(plan: Path, profile: str, batch: int, gpus: int, extra: Sequence[str] = ()) -> list[str]:
    """The Snakemake command line for a plan; `extra` comes last, so that it wins.

    Its state lies in the cache. Snakemake would add the profile `default` beside the Snakefile to any other, so that is
    off: its limit of one GPU is a machine's, not a cluster's. Its own lock outlives a killed process, so it is off too.
    """
    return [
        *(sys.executable, "-m", "snakemake", "--snakefile", str(project_root() / "workflow" / "Snakefile")),
        *("--config", f"plan={plan.resolve()}", f"batch={batch}", f"gpus={gpus}"),
        *("--profile", str(profile_folder(profile)), "--workflow-profile", "none"),
        *("--directory", str(cache_root() / "study"), "--nolock"),
        *extra,
    ]


@contextmanager
def driving(plan: Path) -> Iterator[None]:
    """Hold the plan's lock; raises RecordError if another driver holds it."""
    try:
        with lock(plan).acquire(timeout=0):
            yield
    except Timeout as error:
        raise RecordError("another `make study` is at work on this plan: wait for it or stop it first.") from error


def drive(plan: Path, profile: str, batch: int, gpus: int, extra: Sequence[str] = ()) -> int:
    """Run Snakemake on a plan; returns its exit status.

    Snakemake decides what an interrupt means: it gets the terminal's Ctrl-C itself, and a SIGTERM to this process is
    handed on to it, so that nothing goes on unseen.
    """
    search = os.pathsep.join([str(project_root()), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": search}
    with subprocess.Popen(command(plan, profile, batch, gpus, extra), env=environment) as snakemake:
        interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
        terminate = signal.signal(signal.SIGTERM, lambda *_: snakemake.terminate())
        try:
            return snakemake.wait()
        finally:
            signal.signal(signal.SIGINT, interrupt)
            signal.signal(signal.SIGTERM, terminate)
