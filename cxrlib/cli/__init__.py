"""The commands: `python -m cxrlib COMMAND`.

A command is a module with `add_arguments(parser)` and `main(args) -> int`; `main` here finds it by name and imports it only
when it is called, so that `--help` does not wait for torch. What a command does lies in the other rooms.
"""
