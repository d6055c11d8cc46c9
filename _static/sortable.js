// Tables of class "sortable": a click (or Enter) on a header sorts the body by that column, a second one the other way.
// A table in an element with data-frozen="k" keeps its first k columns in view, where they leave room for others.
document.addEventListener("DOMContentLoaded", () => {
  const text = (row, column) => (row.cells[column] ? row.cells[column].textContent.trim() : "");
  const number = (value) => (/^[−-]?[\d.]+(e[+-]?\d+)?\s*%?(\s[[±].*)?$/i.test(value) ? parseFloat(value.replace("−", "-")) : NaN);

  function compare(a, b) {
    const [x, y] = [number(a), number(b)];
    if (!Number.isNaN(x) && !Number.isNaN(y)) return x - y;
    return a.localeCompare(b, undefined, { numeric: true });
  }

  function sort(table, headers, header) {
    const column = header.cellIndex;
    const descending = header.getAttribute("aria-sort") === "ascending";
    const body = table.tBodies[0];
    const missing = (row) => ["", "–"].includes(text(row, column));
    const rows = [...body.rows].sort((r, s) =>
      missing(r) - missing(s) || (descending ? -1 : 1) * compare(text(r, column), text(s, column)));
    headers.forEach((other) => other.removeAttribute("aria-sort"));
    header.setAttribute("aria-sort", descending ? "descending" : "ascending");
    body.append(...rows);
  }

  function freeze(frame) {
    const [count, left] = [Number(frame.dataset.frozen), frame.querySelector("th").getBoundingClientRect().left];
    if (!frame.clientWidth) return; // within a closed fold
    const rows = [...frame.querySelectorAll("tr")].map((row) => [...row.cells].slice(0, count));
    const edges = rows[0].map((cell) => cell.getBoundingClientRect());
    if (edges[count - 1].right - left > 0.67 * frame.clientWidth) return;
    rows.forEach((cells) => cells.forEach((cell, column) => {
      cell.classList.add("frozen");
      cell.style.left = `${edges[column].left - left}px`;
    }));
  }

  for (const table of document.querySelectorAll("table.sortable")) {
    if (!table.tHead || !table.tBodies.length) continue;
    const headers = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
    for (const header of headers) {
      header.tabIndex = 0;
      header.setAttribute("role", "button");
      header.title = "Sort by this column";
      header.addEventListener("click", () => sort(table, headers, header));
      header.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        sort(table, headers, header);
      });
    }
  }
  document.querySelectorAll("[data-frozen]").forEach(freeze); // after the sort signs, which widen the headers

  // What scrolls can be reached, and scrolled, by keyboard; a table within a closed fold is measured when it opens.
  function reach(frame) {
    if (frame.scrollWidth > frame.clientWidth + 1 || frame.scrollHeight > frame.clientHeight + 1) {
      frame.tabIndex = 0;
      frame.setAttribute("role", "region");
      frame.setAttribute("aria-label", frame.tagName === "PRE" ? "Code or output" : "Table that scrolls");
    }
  }
  const frames = () => document.querySelectorAll("article .cxr-table, article pre, article table.docutils");
  frames().forEach(reach);
  document.querySelectorAll("details").forEach((fold) => fold.addEventListener("toggle", () => {
    fold.querySelectorAll("[data-frozen]").forEach(freeze);
    fold.querySelectorAll(".cxr-table, pre").forEach(reach);
  }));
  addEventListener("resize", () => frames().forEach(reach));
});
