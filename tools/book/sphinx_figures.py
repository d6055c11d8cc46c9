"""Sphinx extension: a cell's caption goes to its image alone, and a page loads only the scripts that it needs.

MyST-NB wraps every output of a cell with figure metadata in a figure of the same name. `show_figure` displays an
image and, below it, the line that says where its numbers come from: only the first is the figure.
"""

from typing import Any

from markdown_it.tree import SyntaxTreeNode
from myst_nb.sphinx_ import SphinxNbRenderer
from nbformat import NotebookNode
from sphinx.application import Sphinx
from sphinx.config import Config

from cxrlib import __version__

_render_outputs = SphinxNbRenderer._render_nb_cell_code_outputs


def _is_image(output: NotebookNode) -> bool:
    return any(mime.startswith("image/") for mime in output.get("data", {}))


def _render_image_as_figure(self: SphinxNbRenderer, token: SyntaxTreeNode, outputs: list[NotebookNode]) -> None:
    if not any(map(_is_image, outputs)):
        return _render_outputs(self, token, outputs)
    cell: dict[str, Any] = token.meta["metadata"]
    plain = {**cell, "mystnb": {key: value for key, value in cell.get("mystnb", {}).items() if key != "figure"}}
    try:
        for output in outputs:
            token.meta["metadata"] = cell if _is_image(output) else plain
            _render_outputs(self, token, [output])
    finally:
        token.meta["metadata"] = cell


def _drop_mathjax(app: Sphinx, config: Config) -> None:
    """Jupyter Book puts every script below _static into every page; MathJax is loaded where there are equations."""
    config["html_js_files"] = [file for file in config["html_js_files"] if not str(file).startswith("mathjax/")]


def _drop_thebe(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object) -> None:
    """Thebe is off, yet its settings are declared on every page, twice, which is an error in the browser's console."""
    scripts = context.get("script_files", [])
    context["script_files"] = [file for file in scripts if "THEBE" not in str(getattr(file, "attributes", ""))]


def _name_bars(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object) -> None:
    """A folded cell's bar is named by what it says; MyST-NB gives all bars one other name, for screen readers alone."""
    context["body"] = context.get("body", "").replace('<summary aria-label="Toggle hidden content">', "<summary>")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension with Sphinx."""
    SphinxNbRenderer._render_nb_cell_code_outputs = _render_image_as_figure
    app.connect("config-inited", _drop_mathjax)
    app.connect("html-page-context", _drop_thebe, priority=900)
    app.connect("html-page-context", _name_bars)
    return {"version": __version__, "parallel_read_safe": True, "parallel_write_safe": True}
