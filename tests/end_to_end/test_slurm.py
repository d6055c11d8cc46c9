"""The small grid through a real Slurm, by `tests/slurm/run`, where its daemons are or may be installed."""

import os
import shutil
import subprocess
import sys

import pytest

from cxrlib.paths import project_root

DAEMONS = ("munged", "slurmctld", "slurmd")
SEARCH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


@pytest.mark.slow
def test_the_small_grid_through_slurm_gives_the_table_it_gives_without():
    absent = [name for name in DAEMONS if shutil.which(name, path=SEARCH) is None]
    if os.environ.get("CXR_SLURM_TEST") != "1":
        if absent:
            pytest.skip(f"no {' and '.join(absent)} here: CXR_SLURM_TEST=1 installs them and runs this test")
        if os.geteuid() != 0:
            pytest.skip("Slurm's daemons are started as root: CXR_SLURM_TEST=1 tries with sudo")
    done = subprocess.run(
        [str(project_root() / "tests" / "slurm" / "run")],
        env={**os.environ, "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )
    last = (done.stdout.splitlines() or [""])[-1]
    if done.returncode == 77:
        assert last.startswith("skipped: ")
        pytest.skip(last.removeprefix("skipped: "))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert last == "passed: the tables are equal"
