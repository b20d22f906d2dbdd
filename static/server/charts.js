// @ts-check
// Charts of the server's past: one below the other, on one time axis, each with a legend, a summary and a table.

import published from "../vendor/uplot/uPlot.esm.js";
import { element, setText } from "../lib/element.js";
import { onThemeChange } from "../lib/theme.js";
import { duration, summaryOf, tableOf, valuesOf } from "./plots.js";

/** @typedef {import("uplot")} Drawing */

const uPlot = /** @type {typeof import("uplot")} */ (/** @type {unknown} */ (published));

const HEIGHT = 150; // of a chart, in CSS pixels
const LEAST_WIDTH = 200;
const [X_AXIS, Y_AXIS] = [28, 60];
const FONT = "12px system-ui, sans-serif";
const SYNC = "server"; // the cursor moves in all charts at once
const TABLE_ROWS = 15; // of a whole span

const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const CLOCK_SECONDS = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });

/** All charts. */
export class Charts {
  #box;
  #span;
  /** @type {Chart[]} */
  #charts = [];
  #plots = "";

  /**
   * @param {HTMLElement} box where the charts are put
   * @param {number} minutes how much time they show
   */
  constructor(box, minutes) {
    this.#box = box;
    this.#span = 60 * minutes;
    const redraw = () => this.#charts.forEach((chart) => chart.redraw());
    onThemeChange(redraw);
    new ResizeObserver(redraw).observe(box);
  }

  /** @param {number} minutes */
  set minutes(minutes) {
    this.#span = 60 * minutes;
  }

  /**
   * @param {Plot[]} plots
   * @param {Timeline} timeline
   */
  show(plots, timeline) {
    const names = JSON.stringify(plots.map(({ id, series }) => [id, series]));
    if (names !== this.#plots) {
      this.#plots = names;
      for (const chart of this.#charts) chart.remove();
      this.#charts = plots.map((plot) => new Chart(plot, this.#box));
    }
    for (const chart of this.#charts) chart.show(timeline, this.#span);
  }
}

class Chart {
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

  /**
   * @param {Plot} plot
   * @param {HTMLElement} box
   */
  constructor(plot, box) {
    this.#plot = plot;
    const title = element("h3", { id: plot.id }, plot.title);
    const legend = element("ul", { className: "legend" }, ...plot.series.map((series, at) => this.#entry(series, at)));
    this.#figure = element(
      "figure", { className: "chart" }, element("figcaption", {}, title, this.#moment, legend), this.#canvas, this.#table,
    );
    this.#figure.setAttribute("aria-labelledby", plot.id);
    this.#table.addEventListener("toggle", () => this.#fillTable());
    box.append(this.#figure);
  }

  /**
   * @param {Series} series
   * @param {number} at
   */
  #entry({ label, dash }, at) {
    const swatch = element("span", { className: "swatch" });
    swatch.dataset.series = String(at + 1);
    swatch.dataset.line = dash.length ? (dash[0] > 4 ? "dashed" : "dotted") : "solid";
    const reading = element("b", {}, "–");
    this.#swatches.push(swatch);
    this.#readings.push(reading);
    return element("li", {}, swatch, `${label} `, reading);
  }

  remove() {
    this.#drawing?.destroy();
    this.#figure.remove();
  }

  /**
   * @param {Timeline} timeline
   * @param {number} span seconds
   */
  show(timeline, span) {
    this.#timeline = timeline;
    this.#span = span;
    if (this.#drawing) this.#drawing.setData(this.#data(timeline), true);
    else this.redraw();
    this.#readLegend(this.#drawing?.cursor.idx ?? null);
    this.#canvas.ariaLabel = summaryOf(this.#plot, timeline);
    if (this.#table.open) this.#fillTable();
  }

  /** Draw it anew: in other colours or another size. */
  redraw() {
    if (!this.#timeline) return;
    const width = Math.max(LEAST_WIDTH, this.#canvas.clientWidth);
    if (!this.#canvas.clientWidth) return; // not shown
    this.#drawing?.destroy();
    this.#drawing = new uPlot(this.#options(width), this.#data(this.#timeline), this.#canvas);
  }

  /**
   * @param {Timeline} timeline
   * @returns {import("uplot").AlignedData}
   */
  #data(timeline) {
    const times = /** @type {number[]} */ (timeline.column("at"));
    return [times, ...this.#plot.series.map((series) => valuesOf(timeline, series))];
  }

  /**
   * @param {number} width
   * @returns {import("uplot").Options}
   */
  #options(width) {
    const { format, least, most, whole } = this.#plot;
    const style = getComputedStyle(this.#canvas);
    const [ink, grid] = [style.color, style.borderTopColor];
    const axis = { stroke: ink, font: FONT, grid: { stroke: grid, width: 1 }, ticks: { stroke: grid, width: 1, size: 4 } };
    return {
      width,
      height: HEIGHT,
      legend: { show: false },
      cursor: { sync: { key: SYNC }, drag: { x: false, y: false }, y: false, points: { size: 7 } },
      scales: {
        x: { time: true, range: () => this.#range() },
        y: { range: (_, _low, high) => [0, most ?? Math.max(least, (high ?? 0) * 1.1)] },
      },
      axes: [
        { ...axis, size: X_AXIS, space: 64, values: (_, splits) => splits.map((at) => CLOCK.format(1000 * at)) },
        {
          ...axis,
          size: Y_AXIS,
          space: 28,
          values: (_, splits) => splits.map((value) => (whole && value % 1 ? "" : format(value))),
        },
      ],
      series: [{}, ...this.#plot.series.map((series, at) => this.#line(series, at))],
      hooks: {
        drawAxes: [(drawing) => this.#drawLimits(drawing, ink)],
        draw: [(drawing) => this.#drawEvents(drawing)],
        setCursor: [(drawing) => this.#readLegend(drawing.cursor.idx ?? null)],
      },
    };
  }

  /**
   * @param {Series} series
   * @param {number} at
   * @returns {import("uplot").Series}
   */
  #line({ dash, filled }, at) {
    const stroke = getComputedStyle(this.#swatches[at]).color;
    const fill = filled ? stroke.replace(/^rgb\((.*)\)$/u, "rgb($1 / 15%)").replaceAll(",", "") : undefined;
    return { stroke, width: 2, dash, fill, points: { show: this.#plot.points, size: 5, stroke, fill: stroke } };
  }

  /** @returns {[number, number]} */
  #range() {
    const last = this.#timeline?.last ?? Date.now() / 1000;
    return [last - this.#span, last];
  }

  /**
   * @param {Drawing} drawing
   * @param {string} ink
   */
  #drawLimits({ ctx: pen, bbox, valToPos }, ink) {
    pen.save();
    pen.strokeStyle = pen.fillStyle = ink;
    pen.lineWidth = devicePixelRatio;
    pen.setLineDash([6 * devicePixelRatio, 6 * devicePixelRatio]);
    pen.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
    const { limits } = this.#plot;
    for (const { at } of limits) {
      const y = Math.round(valToPos(at, "y", true));
      pen.beginPath();
      pen.moveTo(bbox.left, y);
      pen.lineTo(bbox.left + bbox.width, y);
      pen.stroke();
    }
    if (limits.length) {
      const below = valToPos(Math.min(...limits.map(({ at }) => at)), "y", true) + 3 * devicePixelRatio;
      [pen.textBaseline, pen.textAlign] = ["top", "left"];
      pen.fillText(limits.map(({ label }) => label).join(" · "), bbox.left + 4 * devicePixelRatio, below);
    }
    pen.restore();
  }

  /** @param {Drawing} drawing */
  #drawEvents({ ctx: pen, bbox, valToPos }) {
    const [from, to] = this.#range();
    pen.save();
    pen.strokeStyle = pen.fillStyle = getComputedStyle(this.#moment).color;
    pen.lineWidth = 2 * devicePixelRatio;
    pen.setLineDash([]);
    for (const { at, event } of this.#timeline?.events ?? []) {
      if (event === "worker_ready" || at < from || at > to) continue;
      const x = Math.round(valToPos(at, "x", true));
      const half = 5 * devicePixelRatio;
      pen.beginPath();
      pen.moveTo(x, bbox.top);
      pen.lineTo(x, bbox.top + bbox.height);
      pen.stroke();
      pen.beginPath();
      pen.moveTo(x - half, bbox.top);
      pen.lineTo(x + half, bbox.top);
      pen.lineTo(x, bbox.top + 1.5 * half);
      pen.fill();
    }
    pen.restore();
  }

  /** Show the values below the cursor, or the latest ones. @param {number | null} row */
  #readLegend(row) {
    const timeline = this.#timeline;
    if (!timeline) return;
    this.#moment.textContent = row === null ? "" : CLOCK_SECONDS.format(1000 * Number(timeline.column("at")[row]));
    this.#plot.series.forEach((series, at) => {
      const values = valuesOf(timeline, series);
      const value = row === null ? values.findLast((one) => one !== null) : values[row];
      setText(this.#readings[at], value === null || value === undefined ? "–" : this.#plot.format(value));
    });
  }

  #fillTable() {
    if (!this.#table.open || !this.#timeline) return;
    const partS = this.#span / TABLE_ROWS;
    const caption = element("caption", {}, `Highest values of each ${duration(partS)}, up to the time given`);
    const labels = ["Time", ...this.#plot.series.map(({ label }) => label)];
    const head = element("tr", {}, ...labels.map((label) => element("th", { scope: "col" }, label)));
    const rows = tableOf(this.#plot, this.#timeline, partS).map(({ at, values }) => element(
      "tr", {}, element("th", { scope: "row" }, CLOCK.format(1000 * at)),
      ...values.map((value) => element("td", {}, value === null ? "–" : this.#plot.format(value))),
    ));
    const table = element("table", {}, caption, element("thead", {}, head), element("tbody", {}, ...rows));
    this.#table.replaceChildren(this.#table.children[0], table);
  }
}
