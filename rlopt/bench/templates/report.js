"use strict";

// ---- table: sorting and filtering --------------------------------------------------------
const table = document.querySelector("#board");
const body = table.querySelector("tbody.rows");
const heads = [...table.querySelectorAll("thead th")];
const buttons = new Map(
  [...table.querySelectorAll("thead button")].map(b => [b.dataset.key, b]));
const find = document.querySelector("#find");
const clean = document.querySelector("#clean");
const pick = document.querySelector("#sort");

function sortBy(key, up) {
  const button = buttons.get(key);
  const column = heads.indexOf(button.closest("th"));
  const text = "text" in button.dataset;
  const value = row => row.cells[column].dataset.v;
  const compare = (p, q) => {
    const a = value(p), b = value(q);
    // what has no number stays at the end, whichever way one sorts
    if (a === undefined || b === undefined) return (a === undefined) - (b === undefined);
    return (text ? a.localeCompare(b) : a - b) * (up ? 1 : -1);
  };
  body.append(...[...body.rows].sort(compare));
  for (const head of heads) head.removeAttribute("aria-sort");
  heads[column].setAttribute("aria-sort", up ? "ascending" : "descending");
  pick.value = key;
}

for (const [key, button] of buttons) {
  button.addEventListener("click", () => {
    const now = button.closest("th").getAttribute("aria-sort");
    sortBy(key, now ? now === "descending" : "up" in button.dataset);
  });
}
pick.addEventListener("change", () => sortBy(pick.value, true));

function filter() {
  const word = find.value.trim().toLowerCase();
  let shown = 0;
  for (const row of body.rows) {
    const found = row.textContent.toLowerCase().includes(word);
    row.hidden = !found || (clean.checked && "warned" in row.dataset);
    shown += !row.hidden;
  }
  const all = body.rows.length;
  document.querySelector("#shown").textContent =
    shown === all ? "" : `${shown} of ${all} agents shown`;
}
find.addEventListener("input", filter);
clean.addEventListener("change", filter);

// ---- charts: colours come from the style sheet, again when the theme changes --------------
const figures = JSON.parse(document.querySelector("#figures").textContent);
const dark = matchMedia("(prefers-color-scheme: dark)");

function painted(node, style) {
  if (Array.isArray(node)) return node.map(n => painted(n, style));
  if (node && typeof node === "object")
    return Object.fromEntries(Object.entries(node).map(([k, v]) => [k, painted(v, style)]));
  const match = typeof node === "string" && /^var\((--\w+)\)(?:\/([\d.]+))?$/.exec(node);
  if (!match) return node === "inherit" ? style.fontFamily : node;
  const colour = style.getPropertyValue(match[1]).trim();
  if (!match[2]) return colour;
  const short = colour.length === 4;
  const part = i => parseInt(short ? colour[1 + i].repeat(2) : colour.substr(1 + 2 * i, 2), 16);
  return `rgba(${part(0)},${part(1)},${part(2)},${match[2]})`;
}

function draw() {
  const style = getComputedStyle(document.body);
  const config = { displaylogo: false, displayModeBar: false, responsive: true };
  for (const [id, figure] of Object.entries(figures)) {
    const { data, layout } = painted(figure, style);
    Plotly.react(id, data, layout, config);
  }
}
if (window.Plotly) {
  document.documentElement.classList.add("js");
  draw();
  dark.addEventListener("change", draw);
}

// ---- print: nothing stays folded ----------------------------------------------------------
addEventListener("beforeprint", () => {
  for (const fold of document.querySelectorAll("details:not([open])")) {
    fold.dataset.folded = "";
    fold.open = true;
  }
});
addEventListener("afterprint", () => {
  for (const fold of document.querySelectorAll("details[data-folded]")) {
    delete fold.dataset.folded;
    fold.open = false;
  }
});
