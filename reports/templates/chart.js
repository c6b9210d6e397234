"use strict";
// Charts of the page: numbers on hover, tap and arrow keys; a click locks them, Escape frees them; networks are switched.
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const off = new Set();  // numbers of networks that are switched off
  let locked = null;      // {chart, index} of the mark that a click has locked
  let shown = null;       // the mark whose numbers the panel shows

  const make = (name, parent, text) => {
    const element = document.createElement(name);
    if (text !== undefined) element.textContent = text;
    if (parent) parent.append(element);
    return element;
  };
  const main = document.querySelector("main") || document.body;  // inside a landmark
  const panel = make("div", main);
  panel.className = "reading";
  panel.hidden = true;
  const announced = make("div", main);
  announced.className = "announced";
  announced.setAttribute("aria-live", "polite");

  // A number with at least three digits, and with three decimals where it is below 10.
  const written = (value) => {
    const size = Math.abs(value);
    const digits = size === 0 ? 3 : Math.max(0, Math.min(9, 2 - Math.floor(Math.log10(size))));
    return value.toFixed(size < 10 ? Math.max(3, digits) : digits).replace("-", "−");
  };
  // What a reading says: [value and interval, of how many units].
  const said = ([, mean, lo, hi, of, reason]) => {
    if (mean === null) return ["no value" + (reason ? `: ${reason}` : ""), of];
    const between = lo === null || hi === null ? (reason ? ` (${reason})` : "") : ` (${written(lo)} … ${written(hi)})`;
    return [written(mean) + between, of];
  };

  class Chart {
    constructor(element) {
      this.element = element;
      this.svg = element.querySelector("svg");
      const data = JSON.parse(element.querySelector("script").textContent);
      this.names = data.networks;
      this.lines = data.lines;
      this.marks = data.marks.map(([line, x, y, label, readings]) => ({ line, x, y, label, readings, network: data.lines[line][0] }));
      this.ring = document.createElementNS(SVG, "circle");
      this.ring.setAttribute("class", "ring");
      this.ring.setAttribute("r", "5");
      this.ring.setAttribute("visibility", "hidden");
      this.svg.append(this.ring);
      element.tabIndex = 0;
      element.setAttribute("role", "application");
      element.setAttribute("aria-roledescription", "chart");
      element.setAttribute("aria-label", `${element.dataset.title}. Arrow keys read its values, Enter locks, Escape frees.`);
      element.addEventListener("pointermove", (event) => this.hover(event));
      element.addEventListener("pointerleave", () => { if (!locked) hide(); });
      element.addEventListener("click", (event) => this.click(event));
      element.addEventListener("keydown", (event) => this.key(event));
      element.addEventListener("blur", () => { if (!locked) hide(); });
    }
    seen(index) { return !off.has(this.marks[index].network); }
    // The mark nearest to a place of the window, among networks that are switched on; null without any.
    nearest(event) {
      const box = this.svg.getBoundingClientRect(), scale = box.width / this.svg.viewBox.baseVal.width;
      const x = (event.clientX - box.left) / scale, y = (event.clientY - box.top) / scale;
      let best = null, least = Infinity;
      this.marks.forEach((mark, index) => {
        const far = (mark.x - x) ** 2 + (mark.y - y) ** 2;
        if (far < least && this.seen(index)) [best, least] = [index, far];
      });
      return best;
    }
    hover(event) {
      if (locked || event.pointerType === "touch") return;
      const index = this.nearest(event);
      if (index === null) hide(); else this.show(index);
    }
    click(event) {
      const index = this.nearest(event);
      const again = locked && locked.chart === this && locked.index === index;
      free();
      if (index === null || again) return;
      this.show(index);
      this.lock(index);
    }
    lock(index) {
      locked = { chart: this, index };
      this.element.classList.add("locked");
    }
    show(index, aloud) {
      if (shown) shown.chart.ring.setAttribute("visibility", "hidden");
      shown = { chart: this, index };
      const mark = this.marks[index];
      this.ring.setAttribute("cx", mark.x);
      this.ring.setAttribute("cy", mark.y);
      this.ring.setAttribute("visibility", "visible");
      panel.replaceChildren();
      make("strong", panel, this.names[mark.network]);
      make("span", panel, mark.label);
      const list = make("dl", panel);
      for (const reading of mark.readings) {
        const [value, of] = said(reading);
        make("dt", list, reading[0]);
        const told = make("dd", list, value);
        if (of) make("small", told, ` ${of}`);
      }
      panel.dataset.chart = this.element.dataset.chart;
      panel.dataset.mark = index;
      panel.hidden = false;
      place();
      if (aloud) announced.textContent = [...panel.querySelectorAll("strong, span, dt, dd")].map((part) => part.textContent).join(", ");
    }
    key(event) {
      if (event.altKey || event.ctrlKey || event.metaKey) return;
      const here = shown && shown.chart === this ? shown.index : null;
      if (event.key === "Enter" || event.key === " ") {
        event.preventDefault();
        const again = locked && locked.chart === this && locked.index === here;
        free(true);
        if (here !== null && !again) this.lock(here);
        return;
      }
      const index = this.next(event.key, here);
      if (index === undefined) return;
      event.preventDefault();
      if (index === null) return;
      free();
      this.show(index, true);
    }
    // The mark that a key leads to: along a line, or to the nearest one of the next line; undefined for other keys.
    next(key, here) {
      const along = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[key];
      const across = { ArrowUp: -1, ArrowDown: 1 }[key];
      if (along === undefined && across === undefined) return undefined;
      const lines = this.lines.map((_, line) => this.marks.flatMap((mark, index) => mark.line === line && this.seen(index) ? [index] : []));
      if (here === null || !this.seen(here)) return lines.flat()[0] ?? null;
      const { line, x } = this.marks[here];
      if (along !== undefined) {
        const at = lines[line].indexOf(here) + along;
        return lines[line][Math.max(0, Math.min(lines[line].length - 1, at))];
      }
      for (let other = line + across; other >= 0 && other < lines.length; other += across)
        if (lines[other].length)
          return lines[other].reduce((best, index) => Math.abs(this.marks[index].x - x) < Math.abs(this.marks[best].x - x) ? index : best);
      return null;
    }
  }

  // Puts the panel beside its mark: right of it and below, or where the window has room.
  function place() {
    if (!shown || panel.hidden) return;
    const { chart, index } = shown, mark = chart.marks[index];
    const box = chart.svg.getBoundingClientRect(), scale = box.width / chart.svg.viewBox.baseVal.width;
    const x = box.left + mark.x * scale, y = box.top + mark.y * scale;
    const width = document.documentElement.clientWidth, height = document.documentElement.clientHeight;
    panel.style.transform = "none";
    const { width: wide, height: high } = panel.getBoundingClientRect();
    const left = x + 14 + wide <= width - 8 ? x + 14 : x - 14 - wide;
    const top = y + 14 + high <= height - 8 ? y + 14 : y - 14 - high;
    const inside = (at, size, end) => Math.max(8, Math.min(at, end - size - 8));
    panel.style.transform = `translate(${inside(left, wide, width)}px, ${inside(top, high, height)}px)`;
  }
  function hide() {
    if (shown) shown.chart.ring.setAttribute("visibility", "hidden");
    shown = null;
    panel.hidden = true;
  }
  function free(stays) {
    if (locked) locked.chart.element.classList.remove("locked");
    locked = null;
    if (!stays) hide();
  }
  // Switches a network on or off in every chart, and dims what else belongs to it.
  function change(button) {
    const number = Number(button.dataset.network), on = off.has(number);
    if (on) off.delete(number); else off.add(number);
    for (const element of document.querySelectorAll(`[data-network="${number}"]`)) {
      if (element.matches(".networks button")) element.setAttribute("aria-pressed", String(on));
      else element.classList.toggle("off", !on);
    }
    if (shown && !shown.chart.seen(shown.index)) free();
  }

  for (const element of document.querySelectorAll(".chart"))
    if (element.querySelector("script")) new Chart(element);
  for (const bar of document.querySelectorAll(".networks")) {
    bar.hidden = false;
    for (const button of bar.querySelectorAll("button")) button.addEventListener("click", () => change(button));
  }
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") free(); });
  document.addEventListener("click", (event) => { if (locked && !event.target.closest(".chart, .networks")) free(); });
  window.addEventListener("scroll", place, { passive: true, capture: true });
  window.addEventListener("resize", place);
})();
