"""`python -m cxrlib`: commands are found, imported late, and fail with one line."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from cxrlib import __version__
from cxrlib.cli.main import COMMANDS, main


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main([name, "--help"])
    assert exit_.value.code == 0
    assert f"python -m cxrlib {name}" in capsys.readouterr().out


def test_help_names_all_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    printed = " ".join(capsys.readouterr().out.split())  # long lines are wrapped
    for name, (_, line) in COMMANDS.items():
        assert name in printed and line.split(",")[0] in printed


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["audit", "--nonsense"]])
def test_wrong_use_exits_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2
    assert "usage: python -m cxrlib" in capsys.readouterr().err


def test_an_error_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "nowhere.csv"]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: cannot read nowhere.csv") and captured.err.count("\n") == 1


def test_an_interrupt_is_no_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted() -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("cxrlib.cli.info.info", interrupted)
    assert main(["info"]) == 130
    assert "interrupted" in capsys.readouterr().err


def test_a_full_disk_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def full() -> int:
        raise OSError(28, "No space left on device", "/somewhere/file")

    monkeypatch.setattr("cxrlib.cli.info.info", full)
    assert main(["info"]) == 2
    assert (
        capsys.readouterr().err
        == "error: /somewhere/file: No space left on device: make room, or name another place.\n"
    )


def test_a_reader_that_stops_early_is_no_fault(project: Path) -> None:
    line = f"{sys.executable} -m cxrlib info | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], cwd=project, capture_output=True, text=True, check=False)
    assert "fault of the program" not in done.stderr and "Traceback" not in done.stderr


def test_info_names_folders_editions_and_versions(phantom_env: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (phantom_env / "results" / "runs" / "one").mkdir(parents=True)
    (phantom_env / "results" / "runs" / "one" / "record.json").touch()
    assert main(["info"]) == 0
    printed = capsys.readouterr().out
    assert str(phantom_env / "data") in printed and str(phantom_env / "weights") in printed
    assert "lacks covidx_ray_5k, covid-chestxray-dataset, CheXpert" in printed
    assert "complete <- auto" in next(line for line in printed.splitlines() if line.strip().startswith("phantom"))
    assert __version__ in printed and "torch" in printed and "(1 runs)" in printed


def test_a_fault_of_the_program_is_told_from_an_error_of_the_user(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def faulty() -> int:
        raise KeyError("x")

    monkeypatch.setattr("cxrlib.cli.info.info", faulty)
    assert main(["info"]) == 70
    assert "a fault of the program in 'info'" in capsys.readouterr().err


def cpu_seconds(*arguments: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "cxrlib", *arguments], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [(), *((name,) for name in COMMANDS)], ids=lambda words: " ".join(words) or "all")
def test_help_comes_at_once(arguments: tuple[str, ...]) -> None:
    """In seconds of the processor, which other work on the machine does not stretch; the best of two."""
    assert min(cpu_seconds(*arguments, "--help") for _ in range(2)) < 1
