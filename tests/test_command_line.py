"""`python -m cxrlib`: commands are found, imported late, and fail with one line."""

import resource
import subprocess
import sys
from importlib import import_module
from inspect import signature
from pathlib import Path

import pytest

from cxrlib import __version__
from cxrlib.cli.main import COMMANDS, main


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_the_two_functions(name: str) -> None:
    module = import_module(COMMANDS[name][0])
    assert len(signature(module.add_arguments).parameters) == 1
    assert len(signature(module.main).parameters) == 1


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


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["fetch", "--nonsense"]])
def test_wrong_use_exits_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2
    assert "usage: python -m cxrlib" in capsys.readouterr().err


def test_an_error_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fetch", "chexpert"]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: unknown collection 'chexpert'") and captured.err.count("\n") == 1


def test_an_interrupt_is_no_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("cxrlib.cli.fetch.main", interrupted)
    assert main(["fetch"]) == 130
    assert "interrupted" in capsys.readouterr().err


def test_info_names_folders_editions_and_versions(phantom_env: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info"]) == 0
    printed = capsys.readouterr().out
    assert str(phantom_env / "data") in printed and str(phantom_env / "weights") in printed
    assert "lacks covidx_ray_5k, covid-chestxray-dataset, CheXpert" in printed
    assert "complete <- auto" in next(line for line in printed.splitlines() if line.strip().startswith("phantom"))
    assert __version__ in printed and "torch" in printed


def test_a_fault_of_the_program_is_told_from_an_error_of_the_user(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def faulty(_: object) -> int:
        raise KeyError("x")

    monkeypatch.setattr("cxrlib.cli.fetch.main", faulty)
    assert main(["fetch"]) == 70
    assert "a fault of the program in 'fetch'" in capsys.readouterr().err


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
