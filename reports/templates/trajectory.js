"use strict";
// Values of a cell on hover, focus and tap; a click or Enter locks them, Escape frees them; arrow keys move.
for (const box of document.querySelectorAll(".trajectory")) {
  const data = JSON.parse(box.querySelector("script[type='application/json']").textContent);
  const panel = box.querySelector(".values");
  let locked = null;

  const part = (tag, text, parent) => {
    const made = document.createElement(tag);
    made.textContent = text;
    parent.append(made);
    return made;
  };
  const percent = (p) => (p === null ? "–" : p >= 0.0995 ? (100 * p).toFixed(1) + " %" : (100 * p).toPrecision(2) + " %");
  const bits = (b) => (b === null ? "∞" : b.toFixed(2)) + " bits";

  const show = (cell) => {
    const [words, numbers, entropy, divergence, truth, rank, probability] = data.cells[cell.dataset.cell];
    const row = cell.parentElement.cells[0].title;
    const text = !cell.closest(".beside");
    const above = text ? cell.closest("table").tHead.rows[0].cells[cell.cellIndex].textContent : "";
    panel.replaceChildren();
    part("p", (above ? "after “" + above + "”, " : "") + "state: " + row, panel);
    const list = document.createElement("ol");
    words.forEach((word, k) => part("li", data.texts[word] + " " + percent(numbers[k]), list));
    panel.append(list);
    if (truth !== undefined) part("p", "truth: " + data.texts[truth] + ", rank " + rank + ", " + percent(probability), panel);
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

  for (const table of box.querySelectorAll(".grid table")) {
    const first = table.querySelector("td[data-cell]");
    if (first) first.tabIndex = 0;
  }
  box.addEventListener("pointerover", (event) => {
    const cell = event.target.closest("td[data-cell]");
    if (cell && !locked) show(cell);
  });
  box.addEventListener("focusin", (event) => {
    const cell = event.target.closest("td[data-cell]");
    if (cell && !locked) show(cell);
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
    const body = cell.closest("tbody");
    let [row, column] = [cell.parentElement.sectionRowIndex, cell.cellIndex];
    let next = null;
    do {
      row += step[0];
      column += step[1];
      next = body.rows[row] && body.rows[row].cells[column];
    } while (next && !next.dataset.cell && next.tagName === "TD");
    if (!next || !next.dataset.cell) return;
    cell.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
    if (locked) lock(next);
  });
}
