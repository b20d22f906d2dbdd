// @ts-check
// The drawing of a chart: lines by uPlot, with limits across it and markers where a worker or the server restarted.

import published from "../vendor/uplot/uPlot.esm.js";
import { timeOfDay, valuesOf } from "./plots.js";

const uPlot = /** @type {typeof import("uplot")} */ (/** @type {unknown} */ (published));

const HEIGHT = 150; // in CSS pixels
const LEAST_WIDTH = 200;
const [X_AXIS, Y_AXIS] = [28, 60];
const FONT = "px system-ui, sans-serif";
const SYNC = "server"; // the cursor moves in all charts at once

export class Drawing {
  #plot;
  #colours;
  #read;
  #chart;
  #ink;
  #grid;
  /** @type {Timeline | null} */
  #timeline = null;
  #span = 0;

  /**
   * @param {HTMLElement} box its width, and the colours of the axes, are those of the drawing
   * @param {Plot} plot
   * @param {string[]} colours of the series, then of restarts
   * @param {(row: number | null) => void} read called with the row below the cursor
   */
  constructor(box, plot, colours, read) {
    this.#plot = plot;
    this.#colours = colours;
    this.#read = read;
    const style = getComputedStyle(box);
    this.#ink = style.color;
    this.#grid = style.borderTopColor;
    this.#chart = new uPlot(this.#options(box.clientWidth), undefined, box);
  }

  /** The row below the cursor; null for none. */
  get row() {
    return this.#chart.cursor.idx ?? null;
  }

  /** @param {Timeline} timeline @param {number} span seconds */
  show(timeline, span) {
    this.#timeline = timeline;
    this.#span = span;
    const times = /** @type {number[]} */ (timeline.column("at"));
    this.#chart.setData([times, ...this.#plot.series.map((series) => valuesOf(timeline, series))], true);
  }

  remove() {
    this.#chart.destroy();
  }

  /** @param {number} width @returns {import("uplot").Options} */
  #options(width) {
    return {
      width: Math.max(LEAST_WIDTH, width),
      height: HEIGHT,
      legend: { show: false },
      cursor: { sync: { key: SYNC }, drag: { x: false, y: false }, y: false, points: { size: 7 } },
      scales: this.#scales(),
      axes: this.#axes(),
      series: [{}, ...this.#plot.series.map((series, at) => this.#line(series, at))],
      hooks: {
        drawAxes: [(chart) => this.#drawLimits(chart)],
        draw: [(chart) => this.#drawRestarts(chart)],
        setCursor: [(chart) => this.#read(chart.cursor.idx ?? null)],
      },
    };
  }

  /** @returns {import("uplot").Scales} */
  #scales() {
    const { least, most } = this.#plot;
    return {
      x: { time: true, range: () => this.#range() },
      y: { range: (_, _low, high) => [0, most ?? Math.max(least, (high ?? 0) * 1.1)] },
    };
  }

  /** @returns {import("uplot").Axis[]} */
  #axes() {
    const { format, whole } = this.#plot;
    const lines = { stroke: this.#grid, width: 1 };
    const axis = { stroke: this.#ink, font: `12${FONT}`, grid: lines, ticks: { ...lines, size: 4 } };
    return [
      { ...axis, size: X_AXIS, space: 64, values: (_, splits) => splits.map((at) => timeOfDay(at, "minutes")) },
      {
        ...axis,
        size: Y_AXIS,
        space: 28,
        values: (_, splits) => splits.map((value) => (whole && value % 1 ? "" : format(value))),
      },
    ];
  }

  /** @param {Series} series @param {number} at @returns {import("uplot").Series} */
  #line({ dash, filled }, at) {
    const stroke = this.#colours[at];
    const fill = filled ? stroke.replace(/^rgb\((.*)\)$/u, "rgb($1 / 15%)").replaceAll(",", "") : undefined;
    return { stroke, width: 2, dash, fill, points: { show: this.#plot.points, size: 5, stroke, fill: stroke } };
  }

  /** @returns {[number, number]} */
  #range() {
    const last = this.#timeline?.last ?? Date.now() / 1000;
    return [last - this.#span, last];
  }

  #drawLimits(/** @type {import("uplot")} */ { ctx: pen, bbox, valToPos }) {
    const { limits } = this.#plot;
    if (!limits.length) return;
    const ratio = devicePixelRatio;
    const heights = limits.map(({ at }) => valToPos(at, "y", true));
    pen.save();
    pen.strokeStyle = pen.fillStyle = this.#ink;
    pen.lineWidth = ratio;
    pen.setLineDash([6 * ratio, 6 * ratio]);
    for (const height of heights.map(Math.round)) {
      pen.beginPath();
      pen.moveTo(bbox.left, height);
      pen.lineTo(bbox.left + bbox.width, height);
      pen.stroke();
    }
    pen.font = `${11 * ratio}${FONT}`;
    [pen.textBaseline, pen.textAlign] = ["top", "left"];
    const labels = limits.map(({ label }) => label).join(" · ");
    pen.fillText(labels, bbox.left + 4 * ratio, Math.max(...heights) + 3 * ratio);
    pen.restore();
  }

  #drawRestarts(/** @type {import("uplot")} */ { ctx: pen, bbox, valToPos }) {
    const [from, to] = this.#range();
    const ratio = devicePixelRatio;
    pen.save();
    pen.strokeStyle = pen.fillStyle = this.#colours[this.#plot.series.length];
    pen.lineWidth = 2 * ratio;
    pen.setLineDash([]);
    for (const { at, event } of this.#timeline?.events ?? []) {
      if (event === "worker_ready" || at < from || at > to) continue;
      const x = Math.round(valToPos(at, "x", true));
      pen.beginPath();
      pen.moveTo(x, bbox.top);
      pen.lineTo(x, bbox.top + bbox.height);
      pen.stroke();
      pen.beginPath();
      pen.moveTo(x - 5 * ratio, bbox.top);
      pen.lineTo(x + 5 * ratio, bbox.top);
      pen.lineTo(x, bbox.top + 7.5 * ratio);
      pen.fill();
    }
    pen.restore();
  }
}
