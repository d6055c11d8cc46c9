"""The command line's entry: one command, one exit status."""

import argparse
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib import import_module

from cxrlib import __version__
from cxrlib.cli import options
from cxrlib.errors import CxrError

COMMANDS = {
    "info": ("cxrlib.cli.info:info", "where things lie, which editions are complete, versions, device"),
    "study": ("cxrlib.training.study:main", "list or run the missing cells of the grid"),
    "verify": ("cxrlib.cli.verification:verify", "compute again what is committed, and compare"),
    "check": ("cxrlib.cli.check:check", "what is wrong with a collection before anything is trained on it"),
    "own": ("cxrlib.cli.own:own", "train on a folder of your own and write a report on it"),
    "splits": ("cxrlib.cli.benchmark:splits", "the benchmark's training, validation and test images as a table"),
    "predict": ("cxrlib.cli.benchmark:predict", "predict a folder of images with a trained network"),
    "score": ("cxrlib.cli.benchmark:score", "score predictions against a split, beside the recorded networks"),
    "audit": ("cxrlib.cli.check:audit", "what in a printed table of results cannot be true"),
}
"""By name the function that takes a command's options, see `options`, and returns its exit status; its line of help."""

USER_ERROR, CRASH, INTERRUPTED = 2, 70, 130
"""Exit statuses beside a command's own: 0 fine, 1 something was found, 3 fine but with warnings."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that the arguments name and return its exit status; see `exit_status`."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(
        prog="python -m cxrlib",
        description="Weighted cross-entropy for unbalanced chest radiographs.",
        epilog="Exit status: 0 fine, 1 something was found, 2 an error to mend, 3 fine with warnings, 70 a fault of the program.",
    )
    parser.add_argument("--version", action="version", version=f"cxrlib {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    parsers = {name: commands.add_parser(name, help=line) for name, (_, line) in COMMANDS.items()}
    if not arguments or arguments[0] not in COMMANDS:
        parser.parse_args(arguments)  # prints help or the error, and exits
    name = arguments[0]
    module, _, function = COMMANDS[name][0].partition(":")
    declare = getattr(options, name)
    parsers[name].description = declare.__doc__
    declare(parsers[name])
    parsed = parser.parse_args(arguments)
    del parsed.command
    return exit_status(name, lambda: getattr(import_module(module), function)(**vars(parsed)))


def exit_status(name: str, command: Callable[[], int]) -> int:
    """Run a command and return its exit status; an error a user can act on is one line on standard error."""
    try:
        return int(command())
    except CxrError as error:
        print(f"error: {error}", file=sys.stderr)
        return USER_ERROR
    except KeyboardInterrupt:
        print("interrupted: what was finished is kept", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # whoever read the output has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return INTERRUPTED
    except (OSError, MemoryError) as error:
        what = f"{error.filename or 'a file'}: {error.strerror}" if isinstance(error, OSError) else "not enough memory"
        print(f"error: {what}: make room, or name another place.", file=sys.stderr)
        return USER_ERROR
    except Exception:
        traceback.print_exc()
        print(f"error: a fault of the program in '{name}', not of your data; please report it.", file=sys.stderr)
        return CRASH
