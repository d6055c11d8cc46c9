"""The command line: `python -m cxrlib COMMAND`.

A command is a module with `add_arguments(parser)` and `main(args) -> int`; it is imported only when it is
called, so that `fetch` does not wait for torch. Errors a user can act on are one line, with exit status 2.
"""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from cxrlib import __version__
from cxrlib.errors import CxrError

COMMANDS = {
    "fetch": ("cxrlib.data.fetch", "get the openly available collections, say how to get the others"),
    "info": ("cxrlib.info", "where things lie, which editions are complete, versions, device"),
    "study": ("cxrlib.training.study", "list, plan and run the grid of configurations"),
    "package": ("tools.offline_runner.package", "pack the missing cells for a machine without internet"),
    "import-records": ("cxrlib.records.merge", "merge records that another machine has made"),
    "check": ("cxrlib.data.check.command", "what is wrong with a collection before anything is trained on it"),
    "own": ("cxrlib.analysis.own.command", "train on a folder of your own and write a report on it"),
    "audit": ("cxrlib.analysis.audit.command", "what in a printed table of results cannot be true"),
    "bench": ("benchmarks.bench", "training loop beside a bare torch step, image cache, memory"),
}
"""Name of each command: its module and its one line of help."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit status, or 2 after an error that is printed."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(
        prog="python -m cxrlib", description="Weighted cross-entropy for unbalanced chest radiographs."
    )
    parser.add_argument("--version", action="version", version=f"cxrlib {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    parsers = {name: commands.add_parser(name, help=line) for name, (_, line) in COMMANDS.items()}
    if not arguments or arguments[0] not in COMMANDS:
        parser.parse_args(arguments)  # prints help or the error, and exits
    module = import_module(COMMANDS[arguments[0]][0])
    module.add_arguments(parsers[arguments[0]])
    try:
        return int(module.main(parser.parse_args(arguments)))
    except CxrError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted: what was finished is kept", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
