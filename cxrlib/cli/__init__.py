"""The commands: `python -m cxrlib COMMAND`.

`options` declares what each takes; `main` finds its function by name and imports it only when it is called, so that
`--help` does not wait for torch. What a command does lies in the other rooms.
"""
