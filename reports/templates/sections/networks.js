"use strict";
// Transfer matrices: what a cell says stands below on hover and focus; arrow keys move between cells.
for (const matrix of document.querySelectorAll(".matrix")) {
  const cells = [...matrix.querySelectorAll("td[title]")];
  if (!cells.length) continue;
  const said = document.createElement("p");
  said.className = "small";
  said.setAttribute("role", "status");
  said.textContent = "Hover or tap a cell, or move with the arrow keys, to read it with its interval.";
  matrix.querySelector(".wide").after(said);
  const cellOf = (event) => event.target.closest("td[title]");
  const say = (event) => {
    if (cellOf(event)) said.textContent = cellOf(event).title;
  };
  cells[0].tabIndex = 0;
  matrix.addEventListener("pointerover", say);
  matrix.addEventListener("focusin", say);
  matrix.addEventListener("click", (event) => {
    if (cellOf(event)) move(cells.find((cell) => cell.tabIndex === 0), cellOf(event));
  });
  matrix.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    const cell = cellOf(event);
    if (!cell || !step) return;
    event.preventDefault();
    const rows = cell.closest("tbody").rows;
    let [row, column] = [cell.parentElement.sectionRowIndex, cell.cellIndex];
    do {
      row += step[0];
      column += step[1];
    } while (rows[row]?.cells[column] && !rows[row].cells[column].title);
    const next = rows[row]?.cells[column];
    if (next?.tagName === "TD") move(cell, next);
  });
  const move = (from, to) => {
    if (from) from.tabIndex = -1;
    to.tabIndex = 0;
    to.focus();
  };
}
