"use strict";
// Without this script the page is whole: it adds sorting, folds the contents on a narrow screen, and has a tap tell
// what hovering tells.

const UNITS = {us: 1e-6, ms: 1e-3, sec: 1, B: 1, KB: 1e3, MB: 1e6, GB: 1e9, k: 1e3, M: 1e6, G: 1e9, "%": 1, "": 1};

// A cell's value if it starts with a number ("31.28ms", "23.59MB", "1,068,298"); null for any other text.
function numberOf(text) {
  const found = text.trim().match(/^([-+−]?[\d,]*\.?\d+)\s?([A-Za-z%]*)/);
  if (!found || !(found[2] in UNITS)) return null;
  return Number(found[1].replaceAll(",", "").replace("−", "-")) * UNITS[found[2]];
}

// Rows in the order of one column; what has no number there stays below, and closing rows (sums) stay last.
function sorted(rows, column, descending) {
  const closing = rows.filter(row => row.querySelector(".closing"));
  const open = rows.filter(row => !closing.includes(row));
  const keys = new Map(open.map(row => [row, row.cells[column].textContent.trim()]));
  const numbers = new Map(open.map(row => [row, numberOf(keys.get(row))]));
  const numeric = open.some(row => numbers.get(row) !== null);
  const sign = descending ? -1 : 1;
  open.sort((a, b) => {
    if (!numeric) return sign * keys.get(a).localeCompare(keys.get(b));
    const [x, y] = [numbers.get(a), numbers.get(b)];
    if (x === null || y === null) return (x === null) - (y === null);
    return sign * (x - y);
  });
  return [...open, ...closing];
}

function makeSortable(table) {
  const [body] = table.tBodies;
  const headers = [...(table.tHead?.rows ?? [])].at(-1)?.cells ?? [];
  if (!body || body.rows.length < 3 || [...body.rows].some(row => row.cells.length !== headers.length)) return;
  [...headers].forEach((header, column) => {
    const sort = () => {
      const descending = header.ariaSort ? header.ariaSort === "ascending" : numberOf(body.rows[0].cells[column].textContent) !== null;
      for (const other of headers) other.ariaSort = null;
      header.ariaSort = descending ? "descending" : "ascending";
      body.append(...sorted([...body.rows], column, descending));
    };
    header.classList.add("sortable");
    header.tabIndex = 0;
    header.title = "sort";
    header.addEventListener("click", sort);
    header.addEventListener("keydown", event => { if (event.key === "Enter") sort(); });
  });
}

document.querySelectorAll("table").forEach(makeSortable);

if (!matchMedia("(min-width: 80rem)").matches) document.querySelector("nav details")?.removeAttribute("open");

document.addEventListener("click", event => {
  document.getElementById("said")?.remove();
  const title = event.target.closest("svg g:has(> title)")?.querySelector("title");
  if (!title) return;
  const said = document.createElement("div");
  said.id = "said";
  said.textContent = title.textContent;
  said.style.left = `${Math.min(event.pageX, scrollX + innerWidth - 200)}px`;
  said.style.top = `${event.pageY + 12}px`;
  document.body.append(said);
});
