// @ts-check
// The values of a chart as a table.

import { element } from "../lib/element.js";
import { duration, tableOf } from "./plots.js";

const ROWS = 15; // of a whole span
const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });

/** @param {Plot} plot @param {Timeline} timeline @param {number} span seconds */
export function chartTable(plot, timeline, span) {
  const caption = element("caption", {}, `Highest values of each ${duration(span / ROWS)}, up to the time given`);
  const labels = ["Time", ...plot.series.map(({ label }) => label)];
  const head = element("tr", {}, ...labels.map((label) => element("th", { scope: "col" }, label)));
  const rows = tableOf(plot, timeline, span / ROWS).map(({ at, values }) => element(
    "tr", {}, element("th", { scope: "row" }, CLOCK.format(1000 * at)),
    ...values.map((value) => element("td", {}, value === null ? "–" : plot.format(value))),
  ));
  return element("table", {}, caption, element("thead", {}, head), element("tbody", {}, ...rows));
}
