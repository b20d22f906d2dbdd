// @ts-check
// One chart: a figure with a legend, a drawing, a summary for screen readers, and a table.

import { element, setText } from "../lib/element.js";
import { Drawing } from "./drawing.js";
import { duration, summaryOf, tableOf, timeOfDay, valuesOf } from "./plots.js";

const ROWS = 15; // of the table

export class Chart {
  #plot;
  #figure;
  #canvas = element("div", { className: "plot", role: "img" });
  #moment = element("span", { className: "moment" });
  #table = element("details", {}, element("summary", {}, "Table"));
  /** @type {HTMLElement[]} */
  #swatches = [];
  /** @type {HTMLElement[]} */
  #readings = [];
  /** @type {Drawing | null} */
  #drawing = null;
  /** @type {Timeline | null} */
  #timeline = null;
  #span = 0;

  /** @param {Plot} plot @param {HTMLElement} box */
  constructor(plot, box) {
    this.#plot = plot;
    const title = element("h3", { id: plot.id }, plot.title);
    const legend = element("ul", { className: "legend" }, ...plot.series.map((series, at) => this.#entry(series, at)));
    const caption = element("figcaption", {}, title, this.#moment, legend);
    this.#figure = element(
      "figure", { className: "chart", "aria-labelledby": plot.id }, caption, this.#canvas, this.#table,
    );
    this.#table.addEventListener("toggle", () => this.#fillTable());
    box.append(this.#figure);
  }

  remove() {
    this.#drawing?.remove();
    this.#figure.remove();
  }

  /** @param {Timeline} timeline @param {number} span seconds */
  show(timeline, span) {
    this.#timeline = timeline;
    this.#span = span;
    if (this.#drawing) this.#drawing.show(timeline, span);
    else this.redraw();
    this.#readLegend(this.#drawing?.row ?? null);
    this.#canvas.ariaLabel = summaryOf(this.#plot, timeline);
    this.#fillTable();
  }

  /** Redraw with the current colours and size. */
  redraw() {
    if (!this.#timeline || !this.#canvas.clientWidth) return; // not shown
    this.#drawing?.remove();
    const colours = [...this.#swatches, this.#moment].map((one) => getComputedStyle(one).color);
    this.#drawing = new Drawing(this.#canvas, this.#plot, colours, (row) => this.#readLegend(row));
    this.#drawing.show(this.#timeline, this.#span);
  }

  /** @param {Series} series @param {number} at */
  #entry({ label, dash }, at) {
    const swatch = element("span", { className: "swatch" });
    swatch.dataset.series = String(at + 1);
    swatch.dataset.line = dash.length ? (dash[0] > 4 ? "dashed" : "dotted") : "solid";
    const reading = element("b", {}, "–");
    this.#swatches.push(swatch);
    this.#readings.push(reading);
    return element("li", {}, swatch, `${label} `, reading);
  }

  /** Show the values below the cursor, or the latest ones. @param {number | null} row */
  #readLegend(row) {
    const timeline = this.#timeline;
    if (!timeline) return;
    this.#moment.textContent = row === null ? "" : timeOfDay(Number(timeline.column("at")[row]), "seconds");
    this.#plot.series.forEach((series, at) => {
      const values = valuesOf(timeline, series);
      const value = row === null ? values.findLast((one) => one !== null) : values[row];
      setText(this.#readings[at], value === null || value === undefined ? "–" : this.#plot.format(value));
    });
  }

  #fillTable() {
    if (!this.#table.open || !this.#timeline) return;
    this.#table.replaceChildren(this.#table.children[0], chartTable(this.#plot, this.#timeline, this.#span));
  }
}

/** Return the values of a chart as a table. @param {Plot} plot @param {Timeline} timeline @param {number} span seconds */
function chartTable(plot, timeline, span) {
  const caption = element("caption", {}, `Highest values of each ${duration(span / ROWS)}, up to the time given`);
  const labels = ["Time", ...plot.series.map(({ label }) => label)];
  const head = element("tr", {}, ...labels.map((label) => element("th", { scope: "col" }, label)));
  const rows = tableOf(plot, timeline, span / ROWS).map(({ at, values }) => element(
    "tr", {}, element("th", { scope: "row" }, timeOfDay(at, "minutes")),
    ...values.map((value) => element("td", {}, value === null ? "–" : plot.format(value))),
  ));
  return element("table", {}, caption, element("thead", {}, head), element("tbody", {}, ...rows));
}
