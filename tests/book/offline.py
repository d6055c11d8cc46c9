"""Does the book read without a network? Statically, from its HTML and CSS."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bs4 import BeautifulSoup, Tag

_OUTSIDE = re.compile(r"^\s*(?:https?:|wss?:|ftp:)?//", re.IGNORECASE)
_CSS_URL = re.compile(r"""url\(\s*['"]?([^'")]+)|@import\s+['"]([^'"]+)""", re.IGNORECASE)
_LOADED = {  # tag: attributes whose address a browser loads without being asked
    "script": ("src",),
    "img": ("src", "srcset"),
    "source": ("src", "srcset"),
    "iframe": ("src",),
    "embed": ("src",),
    "object": ("data",),
    "video": ("src", "poster"),
    "audio": ("src",),
    "track": ("src",),
    "input": ("src",),
    "image": ("href", "xlink:href"),
    "use": ("href", "xlink:href"),
}
_LINKS = {"stylesheet", "preload", "prefetch", "preconnect", "dns-prefetch", "modulepreload", "icon", "manifest"}


def outside_assets(html: Path) -> list[tuple[str, str]]:
    """Page (or style sheet) and address of whatever the book under `html` would load from another host."""
    found = []
    for page in sorted(html.rglob("*.html")):
        soup = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")
        found += [(page.relative_to(html).as_posix(), url) for url in _asset_urls(soup) if _OUTSIDE.match(url)]
    for sheet in sorted(html.rglob("*.css")):
        urls = _css_urls(sheet.read_text(encoding="utf-8"))
        found += [(sheet.relative_to(html).as_posix(), url) for url in urls if _OUTSIDE.match(url)]
    return found


def _asset_urls(soup: BeautifulSoup) -> Iterator[str]:
    for tag in soup.find_all(list(_LOADED)):
        for attribute in _LOADED[tag.name]:
            text = str(tag.get(attribute) or "")
            yield from (part.strip().split(" ")[0] for part in text.split(",")) if attribute == "srcset" else [text]
    for tag in soup.find_all("link", href=True):
        if _LINKS & set(_words(tag, "rel")):
            yield str(tag["href"])
    for tag in soup.find_all("style"):
        yield from _css_urls(tag.get_text())
    for tag in soup.find_all(style=True):
        yield from _css_urls(str(tag["style"]))


def _words(tag: Tag, attribute: str) -> list[str]:
    value: Any = tag.get(attribute) or []
    return value.split() if isinstance(value, str) else [str(word) for word in value]


def _css_urls(text: str) -> list[str]:
    return [first or second for first, second in _CSS_URL.findall(text)]
