"""Does the book read without a network? Statically from its HTML and CSS, and in a headless browser.

The browser's resolver maps every host to nowhere and its network log is read: a request that a page starts is
seen whether or not it could have been answered.
"""

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bs4 import BeautifulSoup, Tag

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
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


def browser() -> str | None:
    """Path of a Chromium, or None if this machine has none."""
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


@dataclass(frozen=True)
class Visit:
    """What a browser made of a page: its document after scripts ran, and the addresses it asked for."""

    dom: str
    requests: tuple[str, ...]


def visit(page: Path | str, chromium: str, seconds: float = 60) -> Visit:
    """Open `page` (a file or an address) in headless Chromium with every host mapped to nowhere.

    `requests` holds the http, https and ws addresses that the page itself asked for. Raises RuntimeError if the
    browser does not end well within `seconds`.
    """
    address = page.resolve().as_uri() if isinstance(page, Path) else page
    with tempfile.TemporaryDirectory(prefix="cxr-browser-") as scratch:
        log = Path(scratch, "net.json")
        command = [
            chromium,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--no-first-run",
            "--no-proxy-server",
            f"--user-data-dir={scratch}/profile",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            f"--log-net-log={log}",
            "--virtual-time-budget=20000",
            "--dump-dom",
            address,
        ]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
        except subprocess.TimeoutExpired as error:
            raise RuntimeError(f"the browser did not finish {address} within {seconds:.0f} s.") from error
        if done.returncode or not log.is_file():
            raise RuntimeError(f"the browser failed on {address}: {done.stderr.strip()[-500:]}")
        return Visit(done.stdout, tuple(_page_requests(json.loads(_closed(log.read_text())))))


def _closed(text: str) -> str:
    """The log as JSON even if the browser ended before it wrote the closing brackets."""
    return text if text.rstrip().endswith("}]}") or text.rstrip().endswith("}") else text.rstrip().rstrip(",") + "]}"


def _page_requests(log: dict[str, Any]) -> Iterator[str]:
    """Addresses of the requests with an initiator: the browser's own errands have none."""
    seen = set()
    for event in log["events"]:
        parameters = event.get("params", {})
        url, initiator = str(parameters.get("url", "")), parameters.get("initiator")
        if initiator and initiator != "not an origin" and re.match(r"(?:https?|wss?):", url) and url not in seen:
            seen.add(url)
            yield url
