"""`python -m workflow.drive`: `make` writes the plan of the grid and runs it with Snakemake, the other actions are its jobs."""

import argparse
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import Timeout

from cxrlib.cli.main import exit_status
from cxrlib.cli.options import add_selection
from cxrlib.errors import ParameterError, RecordError
from cxrlib.paths import cache_root
from cxrlib.storage import lock

HERE = Path(__file__).resolve().parent


def plan_path() -> Path:
    """Where `make study` writes its plan."""
    return cache_root() / "study" / "plan.json"


def profile_folder(name: str) -> Path:
    """A committed Snakemake profile by name, or a folder of the user's; ParameterError if there is neither."""
    for folder in (HERE / "profiles" / name, Path(name).resolve()):
        if (folder / "config.yaml").is_file():
            return folder
    names = ", ".join(sorted(path.name for path in (HERE / "profiles").iterdir()))
    raise ParameterError(f"there is no Snakemake profile '{name}': choose {names}, or a folder with a config.yaml.")


def command(plan: Path, profile: str, batch: int, gpus: int, extra: Sequence[str] = ()) -> list[str]:
    """The Snakemake command line for a plan; `extra` comes last, so that it wins.

    Its state lies in the cache. Snakemake would add the profile `default` beside the Snakefile to any other, so that is
    off: its limit of one GPU is a machine's, not a cluster's. Its own lock outlives a killed process, so it is off too.
    """
    return [
        *(sys.executable, "-m", "snakemake", "--snakefile", str(HERE / "Snakefile")),
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


def drive(line: Sequence[str]) -> int:
    """Run a command line of Snakemake; returns its exit status.

    Snakemake decides what an interrupt means: it gets the terminal's Ctrl-C itself, and a SIGTERM to this process is
    handed on to it, so that nothing goes on unseen.
    """
    with subprocess.Popen(line) as snakemake:
        interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
        terminate = signal.signal(signal.SIGTERM, lambda *_: snakemake.terminate())
        try:
            return snakemake.wait()
        finally:
            signal.signal(signal.SIGINT, interrupt)
            signal.signal(signal.SIGTERM, terminate)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m workflow.drive", description=(__doc__ or "").partition(": ")[2])
    actions = parser.add_subparsers(dest="action", required=True)
    grid = argparse.ArgumentParser(add_help=False)
    add_selection(grid, "cpu")
    make = actions.add_parser("make", parents=[grid], help="write the plan and run it with Snakemake")
    make.add_argument("--workflow", default="default", help="Snakemake profile: default, slurm or a folder")
    make.add_argument("--batch", type=int, default=1, help="cells that share one process")
    make.add_argument("--gpus", type=int, default=1, help="GPUs that a job asks for")
    make.add_argument("--snakemake", default="", help="more options for Snakemake, or a target, in one word")
    actions.add_parser("plan", parents=[grid], help="write the plan alone").add_argument("output", type=Path)
    for name, what in (("images", "image store"), ("pretrain", "pretrained trunks"), ("cell", "records")):
        job = actions.add_parser(name, help=f"make the {what} of the named cells of a plan")
        job.add_argument("plan", type=Path)
        job.add_argument("keys", nargs="+", help="keys of cells in the plan")
    actions.add_parser("table", help="write the table of a plan's records").add_argument("plan", type=Path)
    return parser


def _act(arguments: argparse.Namespace) -> int:
    from workflow.plan import work, write_plan  # loads torch, which takes seconds: not for --help or a wrong option

    if arguments.action == "make":
        plan, profile = plan_path(), arguments.workflow
        profile_folder(profile)  # a wrong name is said before the plan is made
        with driving(plan):
            write_plan(arguments, plan)
            return drive(command(plan, profile, arguments.batch, arguments.gpus, shlex.split(arguments.snakemake)))
    if arguments.action == "plan":
        write_plan(arguments, arguments.output)
        return 0
    return work(arguments.action, arguments.plan, getattr(arguments, "keys", ()))


def main(argv: Sequence[str] | None = None) -> int:
    """Run an action; returns its exit status, Snakemake's own for `make`, 2 after an error that a user can mend."""
    arguments = _parser().parse_args(argv)
    return exit_status("workflow.drive", lambda: _act(arguments))


if __name__ == "__main__":
    sys.exit(main())
