// @ts-check
// Charts of the server's past, one below the other, on one time axis.

import { onThemeChange } from "../lib/theme.js";
import { Chart } from "./chart.js";

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

  /** @param {Plot[]} plots @param {Timeline} timeline */
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
