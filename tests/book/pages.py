"""Is the built book whole? `python -m tests.book.pages` checks every page, figure, table and asset, and sums the build up.

What must be there is read from `_toc.yml` and the notebooks themselves: a figure for each cell with a figure's
name in its metadata, a download for each call of `show_figure` and `show_table` that does not stand under a
condition. A build that Sphinx calls a success and that has no pages fails here.
"""

import argparse
import ast
import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import nbformat
import yaml
from bs4 import BeautifulSoup

from cxrlib.errors import CxrError
from cxrlib.paths import project_root
from cxrlib.storage import digest, file_digest
from tests.book.browser import AXE, VIEWS, executable, open_browser
from tests.book.offline import outside_assets

REPORT = "cxrlib.json"  # written by `tools.book.sphinx_execution` in the build folder, beside `html/`
HOLLOW = re.compile(
    r"\bno (?:run|pair|record)s? (?:is |are |was |were )?recorded\b|\bno records?\b(?: yet)?|\brecorded yet\b|\bnothing (?:is )?recorded\b"
    r"|\bnot yet recorded\b|\bTODO\b|\bNaN\b|\bNone of \d+ cells",
)
_NAME_AT = {"show_figure": 2, "show_table": 1}  # position of the argument `name`


class BookError(CxrError, RuntimeError):
    """The built book lacks something that its sources promise."""


@dataclass(frozen=True)
class Promise:
    """What a notebook's page must hold: figures and downloads by name, and the number of downloads at least."""

    figures: tuple[str, ...]
    downloads: tuple[str, ...]
    calls: int


def toc_files(root: Path) -> list[str]:
    """Every page of `_toc.yml` in reading order, without its ending."""
    return list(_files(yaml.safe_load((root / "_toc.yml").read_text())))


def _files(node: Any) -> Iterator[str]:
    if isinstance(node, list):
        for item in node:
            yield from _files(item)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key in ("root", "file"):
                yield value
            else:
                yield from _files(value)


def notebooks(root: Path) -> list[Path]:
    """The notebooks of the book, in reading order."""
    return [path for name in toc_files(root) if (path := root / f"{name}.ipynb").is_file()]


def expected_pages(root: Path) -> list[str]:
    """The HTML files that a build must leave, relative to the HTML folder."""
    return [f"{name}.html" for name in toc_files(root)]


def expected_outputs(notebook: Path) -> Promise:
    """What the page of `notebook` must hold, read from its cells' metadata and calls."""
    figures: list[str] = []
    downloads: list[str] = []
    calls = 0
    for cell in nbformat.read(notebook, as_version=4).cells:
        if cell.cell_type != "code":
            continue
        name = cell.metadata.get("mystnb", {}).get("figure", {}).get("name")
        certain = _show_calls(cell.source)
        if name and any(call.func.id == "show_figure" for call in certain if isinstance(call.func, ast.Name)):
            figures.append(name)
        calls += len(certain)
        downloads += [name for call in certain for name in _literal_name(call)]
    return Promise(tuple(figures), tuple(downloads), calls)


def _show_calls(source: str) -> list[ast.Call]:
    """Calls that are statements of their own in the cell, so that every build makes them."""
    values = [statement.value for statement in ast.parse(source).body if isinstance(statement, ast.Expr)]
    return [n for n in values if isinstance(n, ast.Call) and isinstance(n.func, ast.Name) and n.func.id in _NAME_AT]


def _literal_name(call: ast.Call) -> list[str]:
    assert isinstance(call.func, ast.Name)
    given = {keyword.arg: keyword.value for keyword in call.keywords} | dict(enumerate(call.args))
    value = given.get("name", given.get(_NAME_AT[call.func.id]))
    return [value.value] if isinstance(value, ast.Constant) and isinstance(value.value, str) else []


def problems(root: Path, html: Path) -> list[str]:
    """One sentence for each page, figure, table, download or link that is missing, hollow place, asset from elsewhere."""
    found = [f"page {page} was not built." for page in expected_pages(root) if not (html / page).is_file()]
    built = {path.relative_to(root).with_suffix(".html").as_posix(): path for path in notebooks(root)}
    soups = {page: _soup(html / page) for page in expected_pages(root) if (html / page).is_file()}
    for page, soup in soups.items():
        if page in built:
            found += [f"{page}: {text}" for text in _page_problems(html / page, soup, expected_outputs(built[page]))]
        found += [f"{page}: {text}" for text in [*_hollow(soup), *_dead_links(html, page, soups)]]
    return found + [f"{page} loads {url} from elsewhere." for page, url in outside_assets(html)]


def _soup(page: Path) -> BeautifulSoup:
    return BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")


def _hollow(soup: BeautifulSoup) -> Iterator[str]:
    """Where the page says that there is nothing to say."""
    main = soup.find("article") or soup
    text = " ".join(main.get_text(" ").split())
    for words in HOLLOW.finditer(text):
        yield f"a hollow place: '...{text[max(0, words.start() - 40) : words.end() + 40]}...'"
    for table in main.select("div.cxr-table table"):
        if not table.select("tbody tr"):
            yield "a table has no rows."


def _dead_links(html: Path, page: str, soups: dict[str, BeautifulSoup]) -> Iterator[str]:
    """Links within the book that lead to no page, no file or no place on the page."""
    for link in (soups[page].find("article") or soups[page]).find_all("a", href=True):
        address, _, anchor = str(link["href"]).partition("#")
        if re.match(r"[a-z][a-z0-9+.-]*:", address, re.IGNORECASE) or address.startswith("//"):
            continue
        file = (html / page).parent / unquote(address.partition("?")[0]) if address else html / page
        if not file.exists():
            yield f"a link leads to {link['href']}, which is not there."
            continue
        target = file.resolve().relative_to(html.resolve()).as_posix()
        if anchor and target in soups and soups[target].find(id=unquote(anchor)) is None:
            yield f"a link leads to {link['href']}, a place that {target} lacks."


def _page_problems(page: Path, soup: BeautifulSoup, promise: Promise) -> Iterator[str]:
    for name in promise.figures:
        figure = soup.find("figure", id=name)
        image = figure.find("img") if figure else None
        if figure is None or image is None:
            yield f"figure {name} is missing."
            continue
        source = page.parent / str(image.get("src", ""))
        if not source.is_file() or not source.stat().st_size:
            yield f"the image of figure {name} is missing."
        if not str(image.get("alt", "")).strip() or str(image["alt"]) == str(image.get("src")):
            yield f"figure {name} has no alternative text."
        if figure.find("figcaption") is None:
            yield f"figure {name} has no caption."
    present = [str(link["download"]) for link in soup.find_all("a", download=True)]
    for name in promise.downloads:
        if f"{name}.csv" not in present:
            yield f"the data of '{name}' (CSV) are missing."
    if len(present) < promise.calls:
        yield f"{len(present)} downloads, but {promise.calls} figures and tables are shown."
    for table in soup.select("div.cxr-table table"):
        if not table.select("thead th"):
            yield "a table has no columns."
    if not soup.find("h1"):
        yield "the page has no title."


def browser_problems(root: Path, html: Path, chromium: str, views: tuple[tuple[int, str], ...] = VIEWS) -> list[str]:
    """One sentence for each fault that a page shows in a browser, in windows of two widths, light and dark.

    A request to another host, an error on the console, an equation that does not render, a block that reaches beyond the
    screen or lies over its neighbour, a control out of the keyboard's reach; axe's serious findings, where axe is at hand.
    """
    found: dict[str, str] = {}
    with open_browser(chromium) as browser:
        for page in expected_pages(root):
            for width, scheme in views:
                seen = browser.visit(html / page, width, scheme, check=True)
                faults = [f"asks for {url}." for url in seen.requests]
                if 'class="math' in (html / page).read_text(encoding="utf-8") and "<mjx-container" not in seen.dom:
                    faults.append("the equations do not render.")
                if "<mjx-merror" in seen.dom:
                    faults.append("an equation has an error.")
                for text in [*faults, *seen.errors, *seen.layout, *seen.axe]:
                    found.setdefault(f"{page}: {text}", f" ({width} px, {scheme})")
    return [text + view for text, view in found.items()]


def check_book(html: Path, root: Path | None = None, chromium: str | None = None) -> None:
    """Raise BookError, a line a problem, unless everything the sources promise is in the folder `html`.

    With a browser (`chromium`, its path) every page is also opened with no network.
    """
    root = root or project_root()
    wrong = problems(root, html)
    if not wrong and chromium:
        wrong = browser_problems(root, html, chromium)
    if wrong:
        raise BookError(f"the book is not whole ({len(wrong)} problems):\n  " + "\n  ".join(wrong))


def summary(html: Path) -> str:
    """The last build in one line: pages, notebooks executed, seconds, data edition."""
    report = json.loads((html.parent / REPORT).read_text())
    executed, total = len(report["executed"]), len(report["notebooks"])
    return (
        f"{len(report['pages'])} pages, {executed} of {total} notebooks executed, {report['seconds']:.0f} s, "
        f"{_edition()} edition"
    )


def _state(html: Path, chromium: str | None) -> str:
    """A digest of every page, style and script, of what they must hold, of these checks and of the browser that makes them."""
    root, names = project_root(), sorted(map(str, html.rglob("*")))
    built = [path for ending in ("html", "css", "js") for path in sorted(html.rglob(f"*.{ending}"))]
    files = [*built, root / "_toc.yml", *notebooks(root), *Path(__file__).parent.glob("*.py")]
    return digest(
        {"browser": [chromium, os.environ.get(AXE)], "names": names, **{str(path): file_digest(path) for path in files}}
    )


def _edition() -> str:
    from cxrlib.data.editions import find_edition  # here: reading collections is not needed to check a book

    return find_edition()


def main() -> int:
    """Check the built book and print where it is; returns 1 with the problems on standard error."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.book.pages", description="Check a built book and sum the build up."
    )
    parser.add_argument("html", nargs="?", type=Path, default=project_root() / "_build" / "html")
    html = parser.parse_args().html.resolve()
    chromium = executable()
    seen, state = html.parent / "seen.txt", _state(html, chromium)
    if not seen.is_file() or seen.read_text() != state:  # what was found whole is not looked at again
        try:
            check_book(html, chromium=chromium)
        except BookError as error:
            print(error, file=sys.stderr)
            return 1
        seen.write_text(state)
    views = "every page seen offline in a browser: 1400 and 360 px, light and dark"
    print(views if chromium else "no Chromium here: pages were not opened in a browser")
    print(f"{html / 'index.html'}\n{summary(html)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
