"""A headless Chromium on its debugging pipe: what a page asks for, what it complains of, how it lies on the screen.

The browser's resolver maps every host to nowhere: a request that a page starts is seen whether or not it could be answered.
"""

import base64
import itertools
import json
import os
import re
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
AXE = "CXR_AXE"  # environment variable: path of axe-core's axe.min.js, which adds its rules to the checks
VIEWS = tuple(itertools.product((1400, 360), ("light", "dark")))
_OPTIONS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--no-first-run",
    "--disable-component-update",
    "--disable-sync",
    "--no-proxy-server",
    "--remote-debugging-pipe",
    "--allow-file-access-from-files",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND",
]

_LAUNCH = """
import os, sys
read, write = (os.dup(int(number)) for number in sys.argv[1:3])
os.dup2(read, 3), os.dup2(write, 4)  # where the debugging pipe is looked for
os.set_inheritable(3, True), os.set_inheritable(4, True)
os.execv(sys.argv[3], sys.argv[3:])
"""
# Colours that fade in when the scheme is set would be judged half way: nothing moves in a checked page.
_STILL = """(() => { const still = new CSSStyleSheet();
  still.replaceSync('*, *::before, *::after { transition: none !important; animation: none !important; }');
  document.adoptedStyleSheets = [...document.adoptedStyleSheets, still]; })()"""
_SETTLED = """(async () => {
  await new Promise((go) => document.readyState === 'complete' ? go() : addEventListener('load', go));
  if (window.MathJax && MathJax.startup) await MathJax.startup.promise;
  await new Promise((go) => requestAnimationFrame(() => setTimeout(go, 50)));
})()"""
_LAYOUT = """(() => {
  const found = [], wide = document.documentElement.clientWidth + 1;
  const name = (e) => `${e.tagName.toLowerCase()}${e.id ? '#' + e.id : ''}${e.classList.length ? '.' + [...e.classList].join('.') : ''} ` +
    `"${(e.textContent || '').trim().slice(0, 40)}"`;
  const seen = (e) => e.checkVisibility({checkOpacity: true, checkVisibilityCSS: true}) && e.getClientRects().length;
  const scrolls = (e) => { for (let p = e; p && p.tagName !== 'BODY'; p = p.parentElement)
    if (['auto', 'scroll', 'hidden', 'clip'].includes(getComputedStyle(p).overflowX)) return true; return false; };
  if (document.documentElement.scrollWidth > wide) found.push(`the page is ${document.documentElement.scrollWidth} px wide`);
  const main = document.querySelector('article') || document.body;
  for (const e of main.querySelectorAll('p, li, h1, h2, h3, h4, img, table, pre, svg, summary, .cxr-table, input, button'))
    if (seen(e) && e.getBoundingClientRect().right > wide && !scrolls(e)) found.push(`${name(e)} reaches beyond the screen`);
  for (const e of main.querySelectorAll('section, .cell_output, details[open], figure')) {
    const blocks = [...e.children].filter((c) => seen(c) && getComputedStyle(c).position === 'static' &&
      getComputedStyle(c).float === 'none' && getComputedStyle(c).display === 'block');
    for (let i = 1; i < blocks.length; i++)
      if (blocks[i].getBoundingClientRect().top < blocks[i - 1].getBoundingClientRect().bottom - 2)
        found.push(`${name(blocks[i])} lies over ${name(blocks[i - 1])}`);
  }
  for (const e of main.querySelectorAll('summary, a[href], th[role="button"], input, button'))
    if (seen(e) && e.tabIndex < 0) found.push(`${name(e)} cannot be reached by keyboard`);
  for (const e of main.querySelectorAll('.cxr-table, pre'))
    if (seen(e) && e.scrollWidth > e.clientWidth + 1 && e.tabIndex < 0 && !e.querySelector('a, [tabindex="0"]'))
      found.push(`${name(e)} scrolls, but not by keyboard`);
  return [...new Set(found)];
})()"""
# Of docutils' own markup: a citation list is no list to axe.
_AXE_RUN = """axe.run({include: [document.querySelector('article') || document.body], exclude: [['.citation-list']]}, {resultTypes: ['violations']}).then((r) =>
  r.violations.filter((v) => ['serious', 'critical'].includes(v.impact))
    .map((v) => `${v.id} (${v.impact}): ${v.help}: ${v.nodes.slice(0, 3)
      .map((n) => `${n.html.slice(0, 120)} ${[...n.any, ...n.all].map((c) => c.message).join(' ').slice(0, 200)}`).join(' | ')}`))"""


def executable() -> str | None:
    """Path of a Chromium, or None if this machine has none."""
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


@dataclass
class Visit:
    """What a browser made of a page: its document after scripts ran, addresses asked for, complaints, faults of layout."""

    dom: str = ""
    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    layout: list[str] = field(default_factory=list)
    axe: list[str] = field(default_factory=list)


class Browser:
    """One Chromium with one tab; `visit` opens a page in it."""

    def __init__(self, write: int, read: int, axe: str = "") -> None:
        self._write, self._read, self._axe = write, read, axe
        self._count, self._rest, self._session, self._events = 0, b"", "", list[dict[str, Any]]()
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        self.call("Page.addScriptToEvaluateOnNewDocument", source=_STILL)

    def call(self, method: str, seconds: float = 180, **parameters: Any) -> Any:
        """Send a command of the DevTools protocol and return its result; events that arrive meanwhile are collected."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + seconds
        while True:
            answer = self._next(end, method)
            if answer.get("id") == self._count:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]
            self._events.append(answer)

    def _next(self, end: float, method: str) -> dict[str, Any]:
        while b"\0" not in self._rest:
            if not select.select([self._read], [], [], max(0.0, end - time.monotonic()))[0]:
                raise RuntimeError(f"the browser did not answer {method} in time.")
            part = os.read(self._read, 1 << 20)
            if not part:
                raise RuntimeError("the browser ended.")
            self._rest += part
        text, _, self._rest = self._rest.partition(b"\0")
        return dict(json.loads(text))

    def evaluate(self, script: str) -> Any:
        """Value of a JavaScript expression in the page; a promise is awaited."""
        done = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in done:
            raise RuntimeError(done["exceptionDetails"].get("exception", {}).get("description", "a script failed"))
        return done["result"].get("value")

    def visit(self, page: Path, width: int = 1400, scheme: str = "light", check: bool = False) -> Visit:
        """Open a file in a window of `width` pixels and a colour scheme; `check`: its layout too, and axe's rules."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self._events.clear()
        went = self.call("Page.navigate", url=page.resolve().as_uri())
        if "errorText" in went:
            raise RuntimeError(f"the browser cannot open {page}: {went['errorText']}.")
        while not any(event.get("method") == "Page.loadEventFired" for event in self._events):
            self._events.append(self._next(time.monotonic() + 180, "Page.navigate"))
        self.evaluate(_SETTLED)
        found = Visit(self.evaluate("document.documentElement.outerHTML"))
        if check:
            found.layout = self.evaluate(_LAYOUT)
            if self._axe:
                self.evaluate(f"{self._axe};0")
                found.axe = self.evaluate(_AXE_RUN)
        for event in self._events:
            _sort(event.get("method", ""), event.get("params", {}), found)
        return found

    def picture(self, target: Path, whole: bool = False) -> None:
        """Write what the window shows, or the whole page, as a PNG."""
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"]
        target.write_bytes(base64.b64decode(data))


def _sort(method: str, event: dict[str, Any], found: Visit) -> None:
    if method in ("Network.requestWillBeSent", "Network.webSocketCreated"):
        url = str(event.get("request", event).get("url", ""))
        if re.match(r"(?:https?|wss?):", url) and url not in found.requests:
            found.requests.append(url)
    elif method == "Runtime.exceptionThrown":
        details = event["exceptionDetails"]
        found.errors.append(str(details.get("exception", {}).get("description", details["text"])))
    elif method == "Log.entryAdded" and event["entry"]["level"] == "error":
        found.errors.append(f"{event['entry']['text']} {event['entry'].get('url', '')}".strip())
    elif method == "Runtime.consoleAPICalled" and event["type"] == "error":
        found.errors.append(" ".join(str(value.get("value", value.get("description"))) for value in event["args"]))


@contextmanager
def open_browser(chromium: str) -> Iterator[Browser]:
    """A running Chromium, ended afterwards."""
    to_browser, from_browser = os.pipe(), os.pipe()
    axe = Path(os.environ[AXE]).read_text(encoding="utf-8") if os.environ.get(AXE) else ""
    with tempfile.TemporaryDirectory(prefix="cxr-browser-", ignore_cleanup_errors=True) as profile:
        ends = (to_browser[0], from_browser[1])
        command = [sys.executable, "-c", _LAUNCH, *map(str, ends), chromium, *_OPTIONS, f"--user-data-dir={profile}"]
        process = subprocess.Popen(command, pass_fds=ends, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for end in ends:
            os.close(end)
        try:
            yield Browser(to_browser[1], from_browser[0], axe)
        finally:
            process.terminate()
            process.wait(20)
            os.close(to_browser[1])
            os.close(from_browser[0])
