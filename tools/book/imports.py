"""Which modules does a piece of code need? Read from the syntax, so that nothing is imported to find out.

`sphinx_execution` asks it which chapters a changed module concerns, `tests/test_house.py` whether imports run in a circle.
"""

import ast
from collections.abc import Iterable, Mapping
from pathlib import Path


def modules(root: Path, packages: Iterable[str] = ("cxrlib",)) -> dict[str, Path]:
    """Dotted name and file of every module of the given packages under the folder `root`."""
    files = [path for package in packages for path in sorted((root / package).rglob("*.py"))]
    return {".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path for path in files}


def imported(source: str, known: Mapping[str, Path], module: str = "", strings: bool = True) -> set[str]:
    """The modules of `known` that `source` imports anywhere, within functions too, or names in a string of its own.

    `module` is the dotted name of the source, for relative imports. A string counts because `import_module` takes one;
    `strings=False` leaves strings out.
    """
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = module.split(".") if known[module].name == "__init__.py" else module.split(".")[:-1]
                base = ".".join([*above[: len(above) - node.level + 1], *filter(None, [base])])
            found |= {name if (name := f"{base}.{alias.name}") in known else base for alias in node.names}
        elif strings and isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(node.value)
    return (found & set(known)) - {module}


def needed(start: Iterable[str], known: Mapping[str, Path], graph: Mapping[str, set[str]]) -> set[str]:
    """`start` and every module that it needs, directly or not, and the packages that hold them."""
    found: set[str] = set()
    waiting = set(start)
    while waiting:
        name = waiting.pop()
        found.add(name)
        package = name.rpartition(".")[0]
        waiting |= ({package} & set(known) | graph[name]) - found
    return found
