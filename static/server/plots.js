// @ts-check
// Definitions of the charts of the Server tab: columns of the past, with names and units.

const SOLID = /** @type {number[]} */ ([]);
const DASHED = [8, 4];
const DOTTED = [2, 3];

const FIRST_AUDIO = {
  id: "first-audio-plot",
  title: "First audio",
  series: [
    { label: "p50", columns: ["p50"], dash: SOLID },
    { label: "p95", columns: ["p95"], dash: DASHED },
    { label: "p99", columns: ["p99"], dash: DOTTED },
  ],
  format: milliseconds,
  least: 10,
  most: null,
  limits: [],
  whole: false,
  points: true,
};

const LOAD = {
  id: "load-plot",
  title: "Load",
  series: [
    { label: "Speaking", columns: ["contexts"], dash: SOLID },
    { label: "Waiting", columns: ["queued"], dash: DASHED },
    { label: "Connections", columns: ["connections"], dash: DOTTED },
  ],
  format: (/** @type {number} */ value) => String(Math.round(value)),
  least: 4,
  most: null,
  limits: [],
  whole: true,
  points: false,
};

/**
 * Return the charts. The workers on the CPU share the memory of one machine.
 * @param {{id: string, name: string, memory: {model?: number | null}}[]} devices
 * @returns {Plot[]}
 */
export function plotsOf(devices) {
  const machine = devices.find(({ id }) => id.startsWith("cpu"));
  const others = devices.filter(({ id }) => !id.startsWith("cpu"));
  return [FIRST_AUDIO, LOAD, ...[machine ?? [], others].flat().map(memoryPlot)];
}

/** @param {{id: string, name: string, memory: {model?: number | null}}} device @returns {Plot} */
function memoryPlot({ id, name, memory }) {
  const known = typeof memory.model === "number";
  const parts = [
    { label: "Model", columns: [`${id} model`], dash: DOTTED, filled: true },
    { label: "Model and slots", columns: [`${id} model`, `${id} slots`], dash: DASHED, filled: true },
  ];
  return {
    id: `memory-plot-${id}`,
    title: id.startsWith("cpu") ? "Memory of the machine" : `Memory of ${id}, ${name}`,
    series: [{ label: "In use", columns: [`${id} pressure`], dash: SOLID }, ...(known ? parts : [])],
    format: percent,
    least: 1,
    most: 1,
    limits: [{ at: 0.85, label: "85 % high" }, { at: 0.95, label: "95 % critical" }],
    whole: false,
    points: false,
  };
}

/**
 * Return the values of a series.
 * @param {Timeline} timeline
 * @param {Series} series
 * @returns {Column}
 */
export function valuesOf(timeline, { columns }) {
  const [first, ...rest] = columns.map((name) => timeline.column(name));
  if (!rest.length) return first;
  return first.map((value, row) => rest.reduce((sum, column) => add(sum, column[row] ?? null), value));
}

/** @param {number | null} one @param {number | null} other */
function add(one, other) {
  return one === null || other === null ? null : one + other;
}

/**
 * Return a one-sentence summary of a chart.
 * @param {Plot} plot
 * @param {Timeline} timeline
 */
export function summaryOf(plot, timeline) {
  const parts = plot.series.flatMap((series) => {
    const values = valuesOf(timeline, series).filter((value) => value !== null);
    if (!values.length) return [];
    const [latest, highest] = [values[values.length - 1], values.reduce((most, value) => Math.max(most, value))];
    return `${series.label} ${plot.format(latest)}, at most ${plot.format(highest)}`;
  });
  return `${plot.title}: ${parts.length ? parts.join("; ") : "nothing yet"}.`;
}

/**
 * Return the highest value of each series per interval, latest first; empty intervals are left out.
 * @param {Plot} plot
 * @param {Timeline} timeline
 * @param {number} partS length of a part in seconds
 * @returns {{at: number, values: (number | null)[]}[]} at: end of the part, in seconds since 1970
 */
export function tableOf(plot, timeline, partS) {
  const columns = plot.series.map((series) => valuesOf(timeline, series));
  /** @type {Map<number, (number | null)[]>} */
  const parts = new Map();
  timeline.column("at").forEach((at, row) => {
    const end = partS * Math.ceil(Number(at) / partS);
    const highest = parts.get(end) ?? columns.map(() => null);
    parts.set(end, columns.map((column, index) => higher(highest[index], column[row] ?? null)));
  });
  return [...parts].filter(([, values]) => values.some((value) => value !== null))
    .sort(([one], [other]) => other - one)
    .map(([at, values]) => ({ at, values }));
}

/** @param {number | null} one @param {number | null} other */
function higher(one, other) {
  if (one === null || other === null) return one ?? other;
  return Math.max(one, other);
}

/**
 * Return the worker and server events, latest first.
 * @param {ServerEvent[]} events
 * @returns {{at: number, text: string}[]}
 */
export function eventsOf(events) {
  /** @type {Map<string | null, {at: number, text: string}>} */
  const lost = new Map();
  /** @type {{at: number, text: string}[]} */
  const entries = [];
  for (const { at, event, device } of events) {
    if (event === "server_started") entries.push({ at, text: "The server started." });
    if (event === "worker_lost") {
      const entry = { at, text: `The worker of ${device} stopped; it is being restarted.` };
      entries.push(entry);
      lost.set(device, entry);
    }
    const before = lost.get(device);
    if (event === "worker_ready" && before) {
      before.text = `The worker of ${device} stopped; it was ready again after ${duration(at - before.at)}.`;
      lost.delete(device);
    }
  }
  return entries.reverse();
}

/** @param {number} ms */
export function milliseconds(ms) {
  if (ms >= 1000) return `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`;
  return `${ms < 10 && ms % 1 ? ms.toFixed(1) : Math.round(ms)} ms`;
}

const MINUTES = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const SECONDS = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });

/** Return a time of the day. @param {number} at seconds since 1970 @param {"minutes" | "seconds"} precision */
export function timeOfDay(at, precision) {
  return (precision === "minutes" ? MINUTES : SECONDS).format(1000 * at);
}

/** @param {number} share 0 to 1 */
export function percent(share) {
  return `${Math.round(100 * share)} %`;
}

/** @param {number} seconds */
export function duration(seconds) {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const whole = Math.floor(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  if (whole < 48 * 3600) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / 86400)} days`;
}
