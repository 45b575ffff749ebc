"use strict";
const stored = id => { const place = document.getElementById(id); return place && JSON.parse(place.textContent); };
const specs = stored("specs");
const options = {mode: "vega-lite", actions: false, renderer: "svg"};
const minus = text => text.replace("-", "\u2212");

// -- pictures: each place gets its chart; a select tells its charts what to show

const views = {};
const drawn = [...document.querySelectorAll("[data-chart]")].map(async place => {
  const spec = specs[place.dataset.chart];
  if (!spec) { place.textContent = "Nothing defined to draw."; return; }
  try {
    views[place.dataset.chart] = (await vegaEmbed(place, spec, options)).view;
  } catch (error) {
    place.textContent = "This picture could not be drawn; its table is below.";
    console.error(error);
  }
});
const ready = Promise.all(drawn);

function follow(id, show) {
  const select = document.getElementById(id);
  if (!select) return;
  select.addEventListener("change", show);
  ready.then(show);
}

const chosen = id => Number(document.getElementById(id).value);
const signal = (name, value) => chart => views[chart] && views[chart].signal(name, value).runAsync();
follow("view", () => signal("view", chosen("view"))("labels"));

// -- one label at a time

const labels = stored("evidence");
function cell(text, tag = "td", more = "") {
  const made = document.createElement(tag);
  made.append(String(text));
  if (tag === "th") made.scope = "row";
  if (more) { const small = document.createElement("i"); small.textContent = more; made.append(" ", small); }
  return made;
}
function fill(id, rows) {
  document.getElementById(id).tBodies[0].replaceChildren(...rows.map(cells => {
    const row = document.createElement("tr");
    row.append(...cells);
    return row;
  }));
}
function scoreRows(label, method) {
  const models = {before: label.scores[0], after: label.scores[method + 1]};
  const count = models.before["1"].length;
  return models.before["1"].map((_, bin) => {
    const row = {from: bin / count, to: (bin + 1) / count};
    for (const [when, counts] of Object.entries(models)) for (const truth of "10") {
      const total = counts[truth].reduce((a, b) => a + b, 0) || 1;
      row["n_" + when + "_" + truth] = counts[truth][bin];
      row[when + "_" + truth] = counts[truth][bin] / total;
    }
    return row;
  });
}
function showLabel() {
  const label = labels[chosen("label")], method = chosen("method");
  const rows = scoreRows(label, method);
  for (const chart of ["scores-true", "scores-other"]) if (views[chart]) views[chart].data("scores", rows).runAsync();
  fill("score-table", rows.map(row => [
    cell(row.from.toFixed(2) + " to " + row.to.toFixed(2), "th"),
    ...["n_before_1", "n_after_1", "n_before_0", "n_after_0"].map(key => cell(row[key])),
  ]));
  const share = count => Math.floor(100 * count / label.positives + 0.5) + "%";
  const found = label.confusions[method].map(([name, before, after]) => {
    const head = cell(name, "th");
    head.className = "name";
    const change = after - before;
    return [head, cell(before, "td", share(before)), cell(after, "td", share(after)), cell(minus((change > 0 ? "+" : "") + change))];
  });
  const none = cell("No other label is ranked above it.");
  none.colSpan = 4;
  none.className = "left";
  fill("confusion-table", found.length ? found : [[none]]);
  const name = document.createElement("b");
  name.textContent = label.label;
  const select = document.getElementById("method");
  document.getElementById("chosen").replaceChildren(name, " under " + select.options[select.selectedIndex].text + ": " + label.positives.toLocaleString("en") + (label.positives === 1 ? " test row is true." : " test rows are true."));
}
function showModel() {
  const model = chosen("model");
  const places = [...document.querySelectorAll("[data-chart^=calibration-]")].filter(place => views[place.dataset.chart]);
  places.forEach(place => signal("model", model)(place.dataset.chart));
  fill("curve-table", places.flatMap(place => views[place.dataset.chart].data("curves").filter(row => row.model === model).map(row => {
    const kind = cell(row.kind);
    kind.className = "left";
    return [cell(place.dataset.group, "th"), kind, cell(row.x.toFixed(3)), cell(row.y.toFixed(3)), cell(row.entries.toLocaleString("en"))];
  })));
}
follow("model", showModel);
follow("label", showLabel);
follow("method", showLabel);

// -- labels of one variant of a study

const study = stored("labels-of-variants");
function showVariant() {
  const variant = study.variants[chosen("variant")], after = variant.after[chosen("variant-method")];
  const rows = study.labels.map(([label, train, test], k) => {
    const before = variant.before[k], now = after[k], known = before !== null && now !== null;
    const group = variant.group[k] < 0 ? "no group" : study.groups[variant.group[k]];
    return {label, group, train_positives: train, test_positives: test, before, now, change: known ? now - before : null};
  });
  const view = views["labels-of-variant"];
  if (view) view.data("labels", rows.filter(row => row.change !== null)).runAsync();
  const shown = (value, sign) => value === null ? "\u2013" : minus((sign && value > 0 ? "+" : "") + (Math.abs(value) < 0.05 ? 0 : value).toFixed(1));
  fill("label-table", rows.map(row => {
    const head = cell(row.label, "th"), group = cell(row.group);
    head.className = "name";
    group.className = "left";
    return [head, group, cell(row.train_positives), cell(row.test_positives), cell(shown(row.before)), cell(shown(row.now)), cell(shown(row.change, true))];
  }));
  document.querySelectorAll("#label-table [aria-sort]").forEach(heading => heading.setAttribute("aria-sort", "none"));
  const name = document.createElement("b");
  name.textContent = document.getElementById("variant").selectedOptions[0].text;
  document.getElementById("chosen-variant").replaceChildren(name, ", " + study.methods[chosen("variant-method")]);
  const find = document.getElementById("find");
  find.dispatchEvent(new Event("input"));
}
for (const id of ["variant", "variant-method"]) follow(id, showVariant);
const open = () => { const target = document.getElementById(location.hash.slice(1)); if (target && target.tagName === "DETAILS") target.open = true; };
addEventListener("hashchange", open);
open();

// -- tables: a heading sorts, a field finds

const words = new Intl.Collator(undefined, {numeric: true});
const number = cell => parseFloat("value" in cell.dataset ? cell.dataset.value : (cell.querySelector("i") || cell).textContent.replace("\u2212", "-").replaceAll(",", ""));
for (const table of document.querySelectorAll("table.sortable")) {
  const headings = [...table.querySelectorAll("th[data-sort]")];
  headings.forEach((heading, index) => heading.querySelector("button").addEventListener("click", () => {
    const before = heading.getAttribute("aria-sort"), kind = heading.dataset.sort;
    const up = before === "none" ? kind !== "change" : before === "descending";
    headings.forEach(other => other.setAttribute("aria-sort", "none"));
    heading.setAttribute("aria-sort", up ? "ascending" : "descending");
    const value = row => kind === "text" ? row.cells[index].textContent : number(row.cells[index]);
    const rows = [...table.tBodies[0].rows].map(row => [value(row), row]);
    rows.sort(([a], [b]) => {
      if (kind === "text") return (up ? 1 : -1) * words.compare(a, b);
      if (isNaN(a) || isNaN(b)) return isNaN(a) - isNaN(b);
      return up ? a - b : b - a;
    });
    table.tBodies[0].append(...rows.map(([, row]) => row));
  }));
}
for (const field of document.querySelectorAll("[data-finds]")) {
  const rows = document.getElementById(field.dataset.finds).tBodies[0].rows;
  field.addEventListener("input", () => {
    const wanted = field.value.trim().toLowerCase();
    let count = 0;
    for (const row of rows) {
      row.hidden = ![...row.cells].some((cell, k) => (k === 0 || cell.className === "left") && cell.textContent.toLowerCase().includes(wanted));
      count += !row.hidden;
    }
    field.closest(".bar").querySelector("[role=status]").textContent = wanted ? count + " of " + rows.length : "";
  });
}

// -- print: short tables are opened

const closed = new Set();
addEventListener("beforeprint", () => document.querySelectorAll("details:not([open])").forEach(details => {
  if (details.querySelectorAll("tr").length <= 80) { details.open = true; closed.add(details); }
}));
addEventListener("afterprint", () => { closed.forEach(details => { details.open = false; }); closed.clear(); });
