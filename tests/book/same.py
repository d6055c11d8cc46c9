"""Do two builds of the book show the same numbers? `python -m tests.book.same HTML OTHER` compares every table's CSV.

Meant for a build without images and one with them: what comes from the records and from the manifest is the same, what comes
from pixels within a tolerance. What the phantoms stand in for in one of the builds is left out, and counted; so is what a page
says of the machine it was built on.
"""

import argparse
import base64
import sys
from io import StringIO
from pathlib import Path

import pandas as pd
from bs4 import BeautifulSoup

TOLERANCE = 1e-6  # relative and absolute, of a number from pixels
NOT_COMPARED = ("phantom", "of this machine")  # in a table's source line

Table = tuple[str, str]  # its source line, its CSV


def tables(html: Path) -> dict[str, Table]:
    """Every download of a book's pages by page and file name, a repeated name counted on."""
    found: dict[str, Table] = {}
    for page in sorted(html.rglob("*.html")):
        for line in BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser").select("p.cxr-source"):
            link = line.find("a", download=True)
            if link is None:
                continue
            place = f"{page.relative_to(html).as_posix()}: {link['download']}"
            place += "'" * sum(known.rstrip("'") == place for known in found)
            found[place] = line.get_text(), base64.b64decode(str(link["href"]).partition(",")[2]).decode()
    return found


def differences(one: dict[str, Table], other: dict[str, Table]) -> tuple[list[str], list[str]]:
    """A sentence for each table that differs or that one of the builds lacks; the tables left out."""
    shown = {
        place for place, (source, _) in [*one.items(), *other.items()] if any(text in source for text in NOT_COMPARED)
    }
    wrong = [f"{place} is in one of the books only." for place in sorted((one.keys() ^ other.keys()) - shown)]
    for place in sorted((one.keys() & other.keys()) - shown):
        frames = [pd.read_csv(StringIO(book[place][1])) for book in (one, other)]
        try:
            pd.testing.assert_frame_equal(*frames, check_dtype=False, rtol=TOLERANCE, atol=TOLERANCE)
        except AssertionError as error:
            wrong.append(f"{place} differs: {' '.join(str(error).split())}")
    return wrong, sorted(shown)


def main() -> int:
    """Compare two HTML folders; 1 with the differences on standard error."""
    parser = argparse.ArgumentParser(prog="python -m tests.book.same", description=__doc__)
    parser.add_argument("html", nargs=2, type=Path)
    books = [tables(folder) for folder in parser.parse_args().html]
    wrong, left_out = differences(*books)
    print(*wrong, sep="\n", file=sys.stderr)
    same = len(books[0]) - len(wrong) - len(left_out)
    print(f"{same} tables are the same, {len(wrong)} differ, {len(left_out)} are of phantoms or of the machine")
    return int(bool(wrong) or not same)


if __name__ == "__main__":
    sys.exit(main())
