"use strict";
// A click on a column's header sorts its table: numbers as numbers, empty cells last in both directions.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...[...table.tHead.rows].at(-1).cells];  // the row above has groups of columns
  heads.forEach((head, column) => head.querySelector("button")?.addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") === "ascending";
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const key = (row) => {
      const cell = row.cells[column];
      return cell.dataset.sort ?? (cell.classList.contains("num") ? "" : cell.textContent.trim());
    };
    const compare = (a, b) => {
      const numbers = a !== "" && b !== "" && !isNaN(a) && !isNaN(b);
      return numbers ? a - b : a.localeCompare(b);
    };
    const rows = [...table.tBodies[0].rows];
    const full = rows.filter((row) => key(row) !== "").sort((a, b) => compare(key(a), key(b)) * (down ? -1 : 1));
    table.tBodies[0].append(...full, ...rows.filter((row) => key(row) === ""));
  }));
}
