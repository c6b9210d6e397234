"use strict";
// Values of a cell on hover, focus and tap; a click or Enter locks them, Escape frees them; arrow keys move.
for (const box of document.querySelectorAll(".trajectory")) {
  const data = JSON.parse(box.querySelector("script[type='application/json']").textContent);
  const panel = box.querySelector(".values");
  const grids = [...box.querySelectorAll(".grid")];
  let locked = null;

  // The values stand in the order of the page: one set for each cell of a text, one for each row of a picture.
  let number = -1;
  for (const grid of grids) {
    const picture = grid.parentElement.classList.contains("beside");
    for (const row of grid.querySelectorAll("tbody tr")) {
      [...row.querySelectorAll("td:not(.none)")].forEach((cell, place) => {
        if (!picture || place === 0) number += 1;
        cell.dataset.cell = number;
      });
    }
    const first = grid.querySelector("td[data-cell]");
    if (first) first.tabIndex = 0;
  }
  const items = [...box.querySelectorAll(".item")];

  const part = (tag, text, parent) => {
    const made = document.createElement(tag);
    made.textContent = text;
    parent.append(made);
    return made;
  };
  const percent = (p) => (p ? (p / 100).toFixed(2) : "< 0.01") + " %";
  const bits = (b) => (b === null ? "∞" : (b / 100).toFixed(2)) + " bits";

  const show = (cell) => {
    const values = data.cells[cell.dataset.cell];
    const [entropy, divergence, rank, probability] = values.slice(2 * data.top);
    const text = !cell.closest(".beside");
    const above = text ? cell.closest("table").tHead.rows[0].cells[cell.cellIndex].textContent : "";
    const truth = data.truths[items.indexOf(cell.closest(".item"))][text ? cell.cellIndex - 1 : 0];
    panel.replaceChildren();
    part("p", (above ? "after “" + above + "”, " : "") + "state: " + cell.parentElement.cells[0].textContent, panel);
    const list = document.createElement("ol");
    for (let k = 0; k < data.top; k++) part("li", data.texts[values[k]] + " " + percent(values[data.top + k]), list);
    panel.append(list);
    if (rank !== undefined) part("p", "truth: " + data.texts[truth] + ", rank " + rank + ", " + percent(probability), panel);
    part("p", "entropy " + bits(entropy), panel);
    part("p", "to the final prediction (KL) " + bits(divergence), panel);
    panel.hidden = false;
  };
  const free = () => {
    if (locked) locked.classList.remove("locked");
    locked = null;
  };
  const lock = (cell) => {
    const same = locked === cell;
    free();
    if (same) return;
    locked = cell;
    cell.classList.add("locked");
    show(cell);
  };
  const pointed = (event) => {
    const cell = event.target.closest("td[data-cell]");
    if (cell && !locked) show(cell);
  };

  box.addEventListener("pointerover", pointed);
  box.addEventListener("focusin", pointed);
  box.addEventListener("pointerleave", () => {
    if (!locked && !box.contains(document.activeElement)) panel.hidden = true;
  });
  box.addEventListener("click", (event) => {
    const cell = event.target.closest("td[data-cell]");
    if (cell) lock(cell);
  });
  box.addEventListener("change", () => {
    free();
    panel.hidden = true;
  });
  box.addEventListener("keydown", (event) => {
    const cell = event.target.closest("td[data-cell]");
    if (event.key === "Escape") return free();
    if (!cell) return;
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      return lock(cell);
    }
    const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (!step) return;
    event.preventDefault();
    const rows = cell.closest("tbody").rows;
    let [row, column] = [cell.parentElement.sectionRowIndex, cell.cellIndex];
    let next = null;
    do {
      row += step[0];
      column += step[1];
      next = rows[row] && rows[row].cells[column];
    } while (rows[row] && column > 0 && column < cell.parentElement.cells.length && !(next && next.dataset.cell));
    if (!next || !next.dataset.cell) return;
    cell.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
    if (locked) lock(next);
  });
}
