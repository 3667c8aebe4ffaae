"use strict";

// A table with an id is sorted by a click on a column's title, and filtered by a text that a row
// contains. Those without one are sent again and again.

const FILTER_FROM = 10;

function value(row, column) {
  const cell = row.cells[column];
  return "sort" in cell.dataset ? Number(cell.dataset.sort) : cell.textContent;
}

function compare(a, b) {
  return typeof a === "number" ? a - b : a.localeCompare(b, document.documentElement.lang);
}

function sort(table, column) {
  const heads = [...table.tHead.rows[0].cells];
  const head = heads[column];
  const isUp = head.getAttribute("aria-sort") !== "ascending";
  for (const other of heads) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", isUp ? "ascending" : "descending");
  const rows = [...table.tBodies[0].rows].map((row) => [value(row, column), row]);
  rows.sort(([a], [b]) => (isUp ? compare(a, b) : compare(b, a)));
  table.tBodies[0].append(...rows.map(([, row]) => row));
}

function makeSortable(table) {
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    button.addEventListener("click", () => sort(table, column));
    head.replaceChildren(button);
  });
}

function makeFilterable(table) {
  const rows = [...table.tBodies[0].rows];
  if (rows.length < FILTER_FROM) return;
  const box = table.parentElement.previousElementSibling;
  const input = box.querySelector("input");
  input.addEventListener("input", () => {
    const wanted = input.value.trim().toLowerCase();
    let count = 0;
    for (const row of rows) {
      row.hidden = !row.textContent.toLowerCase().includes(wanted);
      count += row.hidden ? 0 : 1;
    }
    box.querySelector("output").textContent = wanted ? `${count} / ${rows.length}` : "";
  });
  box.hidden = false;
}

// A chart is read by pointing at it, or with the arrow keys: what it says of each stretch is in a
// list beside it. To assistive technology it is a slider over these.

const STEPS = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -10, PageUp: 10 };

function makeReadable(plot) {
  const readings = [...plot.querySelectorAll("li")];
  if (!readings.length) return;
  const starts = readings.map((reading) => Number(reading.dataset.x));
  const charts = [...plot.querySelectorAll("svg")];
  const width = charts[0].viewBox.baseVal.width;
  const bands = charts.map((chart) => {
    const band = document.createElementNS(chart.namespaceURI, "rect");
    band.setAttribute("class", "band");
    band.setAttribute("height", "100%");
    chart.prepend(band);
    return band;
  });
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  plot.append(tip);
  let chosen = readings.length - 1;

  function choose(number) {
    chosen = Math.min(Math.max(number, 0), readings.length - 1);
    tip.textContent = readings[chosen].textContent;
    plot.setAttribute("aria-valuenow", chosen);
    plot.setAttribute("aria-valuetext", tip.textContent);
  }

  function show(number) {
    choose(number);
    const [start, end] = [starts[chosen], starts[chosen + 1] ?? width];
    for (const band of bands) {
      band.setAttribute("x", start);
      band.setAttribute("width", end - start);
    }
    plot.classList.add("is-read");
    tip.hidden = false;
    const middle = ((start + end) / 2 / width) * plot.clientWidth - tip.offsetWidth / 2;
    tip.style.left = `${Math.max(Math.min(middle, plot.clientWidth - tip.offsetWidth), 0)}px`;
  }

  function hide() {
    plot.classList.remove("is-read");
    tip.hidden = true;
  }

  function point(event) {
    if (tip.contains(event.target)) return;
    const box = charts[0].getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * width;
    show(starts.findLastIndex((start) => start <= x));
  }

  function press(event) {
    const last = readings.length - 1;
    const target = { Home: 0, End: last }[event.key] ?? chosen + STEPS[event.key];
    if (event.key === "Escape") hide();
    if (Number.isNaN(target) || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    show(target);
  }

  plot.tabIndex = 0;
  plot.setAttribute("role", "slider");
  plot.setAttribute("aria-valuemin", 0);
  plot.setAttribute("aria-valuemax", readings.length - 1);
  plot.addEventListener("pointerdown", point);
  plot.addEventListener("pointermove", point);
  plot.addEventListener("pointerleave", () => document.activeElement === plot || hide());
  plot.addEventListener("keydown", press);
  plot.addEventListener("focus", () => show(chosen));
  plot.addEventListener("blur", hide);
  document.addEventListener("translated", () => choose(chosen));
  choose(chosen);
}

// A page in English has its Chinese beside each text, in data-zh and data-zh-label.

const english = new WeakMap();

function translateWithin(root) {
  const isChinese = document.documentElement.lang !== "en";
  for (const element of root.querySelectorAll("[data-zh], [data-zh-label]")) {
    if (!english.has(element)) {
      english.set(element, [element.textContent, element.getAttribute("aria-label")]);
    }
    const [text, label] = english.get(element);
    const { zh, zhLabel } = element.dataset;
    if (zh !== undefined) element.textContent = isChinese ? zh : text;
    if (zhLabel !== undefined) element.setAttribute("aria-label", isChinese ? zhLabel : label);
  }
}

function makeTranslatable(buttons) {
  function translate(language) {
    document.documentElement.lang = language;
    for (const button of buttons) button.setAttribute("aria-pressed", button.lang === language);
    translateWithin(document);
    document.dispatchEvent(new Event("translated"));
  }

  for (const button of buttons) {
    button.addEventListener("click", () => translate(button.lang));
    button.parentElement.hidden = false;
  }
  if (navigator.language.startsWith("zh")) translate("zh-Hans");
}

for (const table of document.querySelectorAll("table[id]")) {
  makeSortable(table);
  makeFilterable(table);
}
document.querySelectorAll(".plot").forEach(makeReadable);
makeTranslatable([...document.querySelectorAll(".languages button")]);
