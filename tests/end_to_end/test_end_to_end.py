"""The whole way on real radiographs, as a user goes it: papermill, a record, and the record read back."""

import json
import os
import subprocess
import sys

import pytest

from benchmarks import bench
from cxrlib.paths import project_root
from cxrlib.records.record import load_record
from cxrlib.training.configure import run_config

SMALL = {"model": "squeezenet", "pretraining": "none", "image_size": "32", "epochs": "1", "train_limit": "128"}


@pytest.mark.slow
@pytest.mark.real_data
def test_a_run_on_real_radiographs_trains_tests_and_leaves_a_record(real_data, tmp_path):
    places = {"CXR_RESULTS": str(tmp_path / "results"), "CXR_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    command = [
        sys.executable,
        "-m",
        "papermill",
        "chapters/05_experiments.ipynb",
        str(tmp_path / "out.ipynb"),
        "-p",
        "beta",
        "0.75",
    ]
    for name, value in {**SMALL, "edition": "open"}.items():
        command += ["-p", name, value]
    done = subprocess.run(
        command,
        cwd=project_root(),
        env={**os.environ, **places},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (folder,) = (tmp_path / "results" / "local").glob("*/")
    record = load_record(folder)
    assert (record.config.edition, record.config.beta, record.config.protocol) == ("open", 0.75, "clean")
    counts = record.provenance["counts"]
    assert counts["test"] == {"covid": 40, "non_covid": 3000}
    assert counts["train"]["covid"] + counts["train"]["non_covid"] == 128
    assert not record.test()["overlap"].any()
    assert set(record.valid()["component"]).isdisjoint(record.test()["component"])
    html = json.dumps(json.loads((tmp_path / "out.ipynb").read_text()))
    assert record.key in html and "open edition" in html


@pytest.mark.slow
def test_the_benchmark_measures_loop_step_and_store(phantom_env):
    config = run_config(
        edition="phantom", model="squeezenet", pretraining="none", image_size=32, batch_size=8, protocol="released"
    )
    row = bench.bench_training(config, steps=2)
    assert row["training loop, images/s"] > 0 and row["float32 step, images/s"] > 0
    assert row["loop / bare"] == pytest.approx(row["training loop, images/s"] / row["bare step, images/s"])
    stored = bench.bench_store("phantom", 32)
    assert stored["images"] > 100 and stored["images/s"] > 0
