"""The build of the book: strict, whole, executed again when it must be, readable offline. On a book of two pages."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pandas as pd
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from cxrlib.book import show
from cxrlib.book.show import framed, printed
from tests.book import browser, offline
from tests.book import pages as book
from tests.book import same as books
from tools import readme
from tools.book import inputs

FIGURE = {"mystnb": {"figure": {"caption": "A line.", "name": "fig-line"}, "image": {"alt": "A rising line"}}}
SHOW = """
import matplotlib.pyplot as plt
import pandas as pd
from cxrlib.book.show import show_figure, show_table
data = pd.DataFrame({"x": [1.0, 2.0]})
figure, axis = plt.subplots()
axis.plot(data["x"])
show_figure(figure, data, "line", "a test")
"""
PROSE = "# One\n\nSee {numref}`fig-line` and {eq}`eq-line`.\n\n$$ y = \\boldsymbol{x} $$ (eq-line)\n\n{cite:t}`he2016`"


def write_chapter(folder: Path, name: str, *cells: nbformat.NotebookNode) -> None:
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(new_notebook(cells=list(cells), metadata=kernel), folder / "chapters" / f"{name}.ipynb")


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A book of our configuration and two chapters that need neither torch nor data."""
    from cxrlib.paths import project_root

    root = tmp_path_factory.mktemp("book")
    for name in ("_config.yml", "references.bib", "bibliography.md"):
        shutil.copy(project_root() / name, root / name)
    shutil.copytree(project_root() / "_static", root / "_static")
    (root / "chapters").mkdir()
    (root / "index.md").write_text("# Index\n\nText.\n")
    chapters = [{"file": "chapters/01_one"}, {"file": "chapters/02_two"}, {"file": "bibliography"}]
    (root / "_toc.yml").write_text(
        yaml.safe_dump({"format": "jb-book", "root": "index", "chapters": chapters}, sort_keys=False)
    )
    table = new_code_cell('show_table(data, name="table", source="a test")')
    write_chapter(root, "01_one", new_markdown_cell(PROSE), new_code_cell(SHOW, metadata=FIGURE), table)
    write_chapter(root, "02_two", new_markdown_cell("# Two"), new_code_cell("1 + 1"))
    return root


def build(root: Path, *options: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "CXR_DATA": str(root / "no-data"), "CXR_WEIGHTS": str(root / "no-weights")}
    environment["CXR_RESULTS"] = str(root / "records")
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])  # the extensions lie in the project's tools
    command = [str(Path(sys.executable).with_name("jupyter-book")), "build", str(root), *options]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)


STRICT = ("-W", "-n", "--keep-going")


@pytest.fixture(scope="module")
def built(sources: Path) -> Path:
    done = build(sources, *STRICT)
    assert done.returncode == 0, done.stdout + done.stderr
    return sources


@pytest.fixture
def spoilt(built: Path, tmp_path: Path) -> Path:
    """A copy of the built book that a test may spoil."""
    return Path(shutil.copytree(built, tmp_path / "book"))


def executed(root: Path) -> list[str]:
    return list(json.loads((root / "_build" / book.REPORT).read_text())["executed"])


def test_a_strict_build_is_whole(built: Path) -> None:
    assert book.expected_pages(built) == [
        "index.html",
        "chapters/01_one.html",
        "chapters/02_two.html",
        "bibliography.html",
    ]
    assert book.expected_outputs(built / "chapters/01_one.ipynb") == book.Promise(("fig-line",), ("line", "table"), 2)
    book.check_book(built / "_build/html", built)


def test_what_stands_under_a_condition_is_not_promised(tmp_path: Path) -> None:
    (tmp_path / "chapters").mkdir()
    code = "if data is not None:\n    show_figure(figure, data, 'line', 'a test')\nshow_table(data, f'{x}', 'a test')"
    write_chapter(tmp_path, "03_three", new_code_cell(code, metadata=FIGURE))
    assert book.expected_outputs(tmp_path / "chapters/03_three.ipynb") == book.Promise((), (), 1)


def test_only_the_image_is_the_figure(built: Path) -> None:
    text = (built / "_build/html/chapters/01_one.html").read_text()
    assert text.count("<figure") == 1
    assert text.index("</figure>") < text.index('class="cxr-source"')


def test_mathjax_is_loaded_once_and_only_where_there_are_equations(built: Path) -> None:
    one, two = ((built / f"_build/html/chapters/{name}.html").read_text() for name in ("01_one", "02_two"))
    assert len(re.findall(r"<script[^>]*tex-mml-chtml", one)) == 1
    assert "tex-mml-chtml" not in two


PAGE = "_build/html/chapters/01_one.html"


@pytest.mark.parametrize(
    ("pattern", "replacement", "complaint"),
    [
        ('id="fig-line"', 'id="fig-other"', "figure fig-line is missing"),
        ('alt="A rising line"', 'alt=""', "no alternative text"),
        ("<figcaption>.*?</figcaption>", "", "no caption"),
        ('download="table.csv"', 'download="else.csv"', "the data of 'table' (CSV) are missing"),
        ('download="table.csv"', "", "1 downloads, but 2 figures and tables"),
        ("<thead>.*?</thead>", "", "a table has no columns"),
        ("<h1>.*?</h1>", "", "no title"),
        ("</body>", '<script src="https://cdn.example/x.js"></script></body>', "loads https://cdn.example/x.js"),
        ("</body>", "<style>@import '//fonts.example/f.css';</style></body>", "loads //fonts.example/f.css"),
        ("</body>", '<img srcset="a.png 1x, http://img.example/b.png 2x"></body>', "loads http://img.example/b.png"),
        ("</head>", '<link rel="preconnect" href="https://fonts.example"></head>', "loads https://fonts.example"),
        (
            "</body>",
            '<p style="background: url(https://bg.example/a.png)"></p></body>',
            "loads https://bg.example/a.png",
        ),
    ],
)
def test_what_is_missing_or_from_elsewhere_is_found(
    spoilt: Path, pattern: str, replacement: str, complaint: str
) -> None:
    page = spoilt / PAGE
    text, count = re.subn(pattern, replacement, page.read_text(), flags=re.DOTALL)
    assert count
    page.write_text(text)
    with pytest.raises(book.BookError) as caught:
        book.check_book(spoilt / "_build/html", spoilt)
    assert complaint in str(caught.value)


def test_a_missing_page_or_image_is_found(spoilt: Path) -> None:
    (spoilt / "_build/html/chapters/02_two.html").unlink()
    for image in (spoilt / "_build/html/_images").iterdir():
        image.unlink()
    found = book.problems(spoilt, spoilt / "_build/html")
    assert "page chapters/02_two.html was not built." in found
    assert any("the image of figure fig-line is missing" in text for text in found)


def test_an_ordinary_link_loads_nothing(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(
        '<a href="https://example.org">out</a><link rel="canonical" href="https://x.org">'
    )
    assert offline.outside_assets(tmp_path) == []


@pytest.mark.slow
def test_notebooks_run_again_when_and_only_when_something_changed(spoilt: Path) -> None:
    both = ["chapters/01_one", "chapters/02_two"]
    (spoilt / "_build" / "html" / "index.html").unlink()  # the copy lies elsewhere: read, but not executed again
    assert build(spoilt).returncode == 0
    assert executed(spoilt) == []
    (spoilt / "records" / "runs" / "new").mkdir(parents=True)
    (spoilt / "records" / "runs" / "new" / "config.json").write_text("{}")
    assert build(spoilt).returncode == 0
    assert executed(spoilt) == both
    (spoilt / "no-data" / "cxr-open").mkdir(parents=True)
    (spoilt / "no-data" / "cxr-open" / "manifest.csv").write_text("image\n")
    assert build(spoilt).returncode == 0
    assert executed(spoilt) == both
    assert build(spoilt).returncode == 0
    assert executed(spoilt) == []


@pytest.mark.slow
def test_a_record_made_by_a_chapter_does_not_run_the_book_again(spoilt: Path) -> None:
    record = (
        "from pathlib import Path\nfrom cxrlib.paths import results_root\nfolder = results_root() / 'runs' / 'mine'\n"
    )
    record += "folder.mkdir(parents=True, exist_ok=True)\n_ = (folder / 'config.json').write_text('{}')"
    write_chapter(spoilt, "02_two", new_markdown_cell("# Two"), new_code_cell(record))
    assert build(spoilt).returncode == 0
    assert "chapters/02_two" in executed(spoilt)
    assert build(spoilt).returncode == 0
    assert executed(spoilt) == []


def test_a_failing_cell_fails_the_build(spoilt: Path) -> None:
    write_chapter(spoilt, "02_two", new_markdown_cell("# Two"), new_code_cell("raise ValueError('on purpose')"))
    done = build(spoilt, *STRICT)
    assert done.returncode != 0
    assert "on purpose" in done.stdout + done.stderr


@pytest.mark.slow
def test_a_warning_fails_the_build_and_still_does_the_second_time(spoilt: Path) -> None:
    write_chapter(spoilt, "02_two", new_markdown_cell("# Two\n\nSee {numref}`fig-nowhere`.\n\n```{nonsense}\n```"))
    for _ in range(2):
        assert build(spoilt, *STRICT).returncode != 0


def test_every_surrounding_input_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = {name: tmp_path / name for name in ("records", "data", "weights")}
    for variable, name in (("CXR_RESULTS", "records"), ("CXR_DATA", "data"), ("CXR_WEIGHTS", "weights")):
        monkeypatch.setenv(variable, str(places[name]))
    files = {"records": "runs/k/config.json", "data": "covidx_ray_5k/train/covid/1.png", "weights": "w.bin"}
    for name, file in files.items():
        before = inputs.surroundings()
        (places[name] / file).parent.mkdir(parents=True, exist_ok=True)
        (places[name] / file).write_text("x = 1")
        after = inputs.surroundings()
        assert [key for key in after if after[key] != before[key]] == [name]
    unfinished = places["records"] / "runs" / ".k.tmp"
    unfinished.mkdir()
    (unfinished / "config.json").write_text("{")
    (places["records"] / "runs" / "k.lock").write_text("")
    assert inputs.surroundings() == after
    monkeypatch.setenv("CXR_PHANTOM_SCALE", "0.123")
    assert inputs.surroundings()["environment"] != after["environment"]


def test_a_module_concerns_the_notebooks_that_need_it_and_no_other(tmp_path: Path) -> None:
    modules = {
        "a/__init__": "",
        "a/drawing": "def draw():\n    from .colours import red\n",
        "a/colours": "red = 1",
        "a/other": "import importlib\nimportlib.import_module('cxrlib.a.late')",
        "a/late": "",
        "__init__": "",
    }
    for name, source in modules.items():
        (tmp_path / "cxrlib" / f"{name}.py").parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "cxrlib" / f"{name}.py").write_text(source)
    drawing = new_notebook(cells=[new_code_cell("from cxrlib.a.drawing import draw")])
    other = new_notebook(cells=[new_markdown_cell("# Prose"), new_code_cell("from cxrlib.a import other")])

    def changed_by(name: str, text: str) -> list[bool]:
        before = [inputs.Sources(tmp_path).digest(notebook) for notebook in (drawing, other)]
        (tmp_path / "cxrlib" / name).write_text(text)
        return [inputs.Sources(tmp_path).digest(n) != b for n, b in zip((drawing, other), before, strict=True)]

    assert changed_by("a/colours.py", "red = 2") == [True, False]
    assert changed_by("a/late.py", "x = 1") == [False, True]
    assert changed_by("a/__init__.py", "x = 1") == [True, True]
    assert changed_by("table.csv", "x,y") == [True, True]
    other.cells[0].source = "# Other prose"
    assert changed_by("a/unused.py", "x = 1") == [False, False]


@pytest.fixture
def chromium() -> str:
    found = browser.executable()
    if found is None:
        pytest.skip(f"no browser: none of {', '.join(browser.BROWSERS)} is installed")
    return found


@pytest.fixture
def tab(chromium: str) -> Iterator[browser.Browser]:
    with browser.open_browser(chromium) as opened:
        yield opened


@pytest.mark.browser
def test_a_whole_book_shows_no_fault_in_a_browser(built: Path, chromium: str) -> None:
    book.check_book(built / "_build/html", built, chromium)


FAULTS = {
    '<script>fetch("https://" + "cdn.example" + "/x.json").catch(() => 0)</script>': "asks for https://cdn.example/x.json.",
    "<script>throw new Error('on purpose')</script>": "on purpose",
    "<script>console.error('a complaint')</script>": "a complaint",
    '<article><p style="width: 3000px">x</p></article>': "reaches beyond the screen",
    '<article><section><p style="margin-bottom: -90px">x<br>x</p><p>y</p></section></article>': "lies over",
    '<article><details><summary tabindex="-1">x</summary></details></article>': "cannot be reached by keyboard",
    '<article><div class="cxr-table" style="overflow: auto"><p style="width: 3000px">x</p></div></article>': "not by keyboard",
}


@pytest.mark.browser
def test_each_fault_of_a_page_is_caught(tmp_path: Path, chromium: str) -> None:
    (tmp_path / "_toc.yml").write_text(
        yaml.safe_dump({"root": "0", "chapters": [{"file": f"{n}"} for n in range(1, 7)]})
    )
    for n, body in enumerate(FAULTS):
        (tmp_path / f"{n}.html").write_text(f'<!doctype html><meta charset="utf-8"><body style="margin: 0">{body}')
    found = book.browser_problems(tmp_path, tmp_path, chromium, ((1400, "light"),))
    for n, complaint in enumerate(FAULTS.values()):
        mine = [text for text in found if text.startswith(f"{n}.html: ")]
        assert any(complaint in text for text in mine), (n, found)


@pytest.mark.browser
def test_equations_that_do_not_render_are_caught(spoilt: Path, chromium: str) -> None:
    shutil.rmtree(spoilt / "_build/html/_static/mathjax")
    found = book.browser_problems(spoilt, spoilt / "_build/html", chromium, ((1400, "light"),))
    assert any(text.startswith("chapters/01_one.html: the equations do not render.") for text in found)


@pytest.mark.browser
def test_a_table_sorts_by_a_header_with_missing_values_last(
    project: Path, tmp_path: Path, tab: browser.Browser
) -> None:
    shutil.copy(project / "_static" / "sortable.js", tmp_path)
    cells = ["10", "9", "–", "-1.5", "2e1"]
    rows = "".join(f"<tr><td>{cell}</td></tr>" for cell in cells)
    click = (
        "<script>addEventListener('load', () => { const h = document.querySelector('th'); h.click(); %s });</script>"
    )
    both = (("", ["-1.5", "9", "10", "2e1", "–"]), ("h.click();", ["2e1", "10", "9", "-1.5", "–"]))
    for clicks, expected in both:
        page = tmp_path / "page.html"
        page.write_text(
            '<meta charset="utf-8"><script src="sortable.js"></script><table class="sortable"><thead><tr><th>n</th></tr></thead>'
            f"<tbody>{rows}</tbody></table>{click % clicks}"
        )
        assert re.findall("<td>(.*?)</td>", tab.visit(page).dom) == expected


@pytest.mark.browser
def test_a_wide_table_keeps_its_first_columns_in_view(project: Path, tmp_path: Path, tab: browser.Browser) -> None:
    for name in ("sortable.js", "book.css"):
        shutil.copy(project / "_static" / name, tmp_path)
    wide = pd.DataFrame([["a", "b", *"0" * 60], ["c", "d", *"1" * 60]], columns=["x", "y", *map(str, range(60))])
    page = tmp_path / "page.html"
    report = (
        "<script>addEventListener('load', () => { const f = document.querySelector('.cxr-table'); f.scrollLeft = 500; "
        "const at = (c) => Math.round(f.querySelectorAll('tbody td')[c].getBoundingClientRect().left); "
        "document.title = [at(0) === 0, at(1) > at(0), at(2) < at(0)].join(); });</script>"
    )
    for frozen, expected in ((2, "true,true,true"), (0, "false,true,false"), (59, "false,true,false")):
        body = framed(wide.to_html(index=False, classes="table sortable"), frozen)
        page.write_text(
            '<meta charset="utf-8"><link rel="stylesheet" href="book.css"><script src="sortable.js"></script>'
            f'<body style="margin: 0">{body}{report}'
        )
        assert f"<title>{expected}</title>" in tab.visit(page).dom


def test_an_interval_stands_in_its_figure_s_column() -> None:
    table = pd.DataFrame(
        {
            "rate": [0.5, float("nan")],
            "n_images": [3, 4],
            "rate_low": [0.25, float("nan")],
            "rate_high": [0.75, 1.0],
            "cut low": [0.1, 0.2],
            "cut high": [0.3, 0.4],
        }
    )
    shown = printed(table, 2)
    assert list(shown) == ["rate", "n images", "cut low", "cut high"]
    assert list(shown["rate"]) == ["0.50 [0.25, 0.75]", "–"]
    assert list(shown["cut low"]) == ["0.10", "0.20"]
    assert list(printed(table.rename(columns=lambda name: name.replace("_", " ")), 2)["rate"]) == list(shown["rate"])


def test_citations_and_entries_match(project: Path) -> None:
    keys = set(re.findall(r"^@\w+\{([^,]+),", (project / "references.bib").read_text(), re.MULTILINE))
    texts = [path.read_text() for path in [project / "index.ipynb", *(project / "chapters").glob("*.ipynb")]]
    cited = {
        key.strip()
        for text in texts
        for keys_ in re.findall(r"\{cite:[a-z]+\}`([^`]+)`", text)
        for key in keys_.split(",")
    }
    assert cited
    assert cited <= keys, f"references.bib lacks {sorted(cited - keys)}"


def test_the_readme_holds_the_table_of_parameters(project: Path) -> None:
    text = (project / "README.md").read_text()
    assert readme.with_table(text) == text, "run python -m tools.readme"
    assert readme.with_table(text.replace("| `beta` |", "| `bata` |")) != text.replace("| `beta` |", "| `bata` |")
    with pytest.raises(ValueError, match="two markers"):
        readme.with_table("no markers")


def test_make_help_lists_every_target(project: Path) -> None:
    text = (project / "Makefile").read_text()
    phony = set(re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)[1].split())  # type: ignore[index]
    done = subprocess.run(["make", "help"], cwd=project, capture_output=True, text=True, timeout=60, check=True)
    listed = dict(re.findall(r"^  make (\S+)\s+(.+)$", done.stdout, re.MULTILINE))
    assert phony <= set(listed)
    assert {"book", "test", "data", "bench", "lock", "clean"} <= phony


def test_make_says_which_python_it_needs(project: Path, tmp_path: Path) -> None:
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(project / name, tmp_path / name)
    old = tmp_path / "python2.7"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    done = subprocess.run(
        ["make", "install", f"PYTHON={old}"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode != 0
    assert "is not Python 3.11 to 3.14" in done.stderr
    assert not (tmp_path / ".venv").exists()


def test_two_books_are_compared_table_by_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def page(folder: str, *tables: tuple[str, str, float]) -> Path:
        lines = "".join(
            show.source_line(pd.DataFrame({"x": [value, 1.0]}), name, source) for name, source, value in tables
        )
        (tmp_path / folder / "chapters").mkdir(parents=True)
        (tmp_path / folder / "chapters" / "01.html").write_text(f"<html><body>{lines}</body></html>")
        return tmp_path / folder

    records, pixels = ("records", "open edition", 0.5), ("pixels", "open edition", 0.25)
    bare = page("bare", records, pixels, ("live", "phantom edition, computed here", 1.0), records)
    same = page("same", records, ("pixels", "open edition", 0.25 + 1e-9), ("live", "open edition", 2.0), records)
    other = page("other", ("records", "open edition", 0.6), pixels, ("live", "open edition", 2.0))
    assert books.differences(books.tables(bare), books.tables(same)) == ([], ["chapters/01.html: live.csv"])
    wrong, _ = books.differences(books.tables(bare), books.tables(other))
    assert [text.split(" ")[:3] for text in wrong] == [
        ["chapters/01.html:", "records.csv'", "is"],
        ["chapters/01.html:", "records.csv", "differs:"],
    ]
