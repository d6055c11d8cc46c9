"""`make study`: the plan handed to Snakemake, with one driver at a time for each plan."""

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cxrlib.errors import CxrError, ParameterError
from cxrlib.paths import cache_root, project_root


class StudyError(CxrError, RuntimeError):
    """The study cannot go on as it was asked to."""


def plan_path() -> Path:
    """Where `make study` writes its plan."""
    return cache_root() / "study" / "plan.json"


def profile_folder(name: str) -> Path:
    """A committed Snakemake profile by name, or a folder of one's own; ParameterError if there is neither."""
    known = project_root() / "workflow" / "profiles"
    for folder in (known / name, Path(name).resolve()):
        if (folder / "config.yaml").is_file():
            return folder
    names = ", ".join(sorted(path.name for path in known.iterdir()))
    raise ParameterError(f"there is no Snakemake profile '{name}': choose {names}, or a folder with a config.yaml.")


def command(plan: Path, profile: str, batch: int, gpus: int, extra: Sequence[str] = ()) -> list[str]:
    """The Snakemake command line for a plan.

    Its state lies in the cache. Snakemake would add the profile `default` beside the Snakefile to any other, so that is
    off: its limit of one GPU is a machine's, not a cluster's. Snakemake's own lock outlives a killed process, so it is off and `driving` stands
    in for it. `extra` comes last, so that it wins.
    """
    work = cache_root() / "study"
    return [
        *(sys.executable, "-m", "snakemake", "--snakefile", str(project_root() / "workflow" / "Snakefile")),
        *("--config", f"plan={plan.resolve()}", f"batch={batch}", f"gpus={gpus}"),
        *("--profile", str(profile_folder(profile)), "--workflow-profile", "none"),
        *("--directory", str(work), "--nolock"),
        *extra,
    ]


@contextmanager
def driving(plan: Path) -> Iterator[int]:
    """Hold the plan's lock; yields its file descriptor, which a child may inherit to hold the lock as long as it lives.

    The system lets go of the lock when the last holder ends, killed or not. Raises StudyError if it is taken.
    """
    plan.parent.mkdir(parents=True, exist_ok=True)
    with open(plan.with_suffix(".driver"), "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StudyError("another `make study` is at work on this plan: wait for it or stop it first.") from error
        yield file.fileno()


def drive(plan: Path, lock: int, profile: str, batch: int, gpus: int, extra: Sequence[str] = ()) -> int:
    """Run Snakemake on a plan under a lock from `driving`; returns its exit status.

    Snakemake decides what an interrupt means: it gets the terminal's Ctrl-C itself, and a SIGTERM to this process is
    handed on to it, so that nothing goes on unseen.
    """
    search = os.pathsep.join([str(project_root()), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": search}
    with subprocess.Popen(command(plan, profile, batch, gpus, extra), env=environment, pass_fds=(lock,)) as snakemake:
        interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
        terminate = signal.signal(signal.SIGTERM, lambda *_: snakemake.terminate())
        try:
            return snakemake.wait()
        finally:
            signal.signal(signal.SIGINT, interrupt)
            signal.signal(signal.SIGTERM, terminate)
