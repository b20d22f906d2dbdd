// @ts-check
// The server's past as columns for charts: joins the answers of the server, also across its restarts.

const GAP_STEPS = 3; // a gap in the lines after this many steps without a row
const SAME_START_S = 2; // tolerance for clock changes; a later start is another server

export class Timeline {
  /** @type {number} */
  #span;
  /** @type {number | null} */
  #startedAt = null;
  /** @type {number | null} */
  #known = null;
  /** @type {number} */
  #step = 1;
  /** @type {Map<string, Column>} */
  #columns = new Map([["at", []]]);
  /** @type {ServerEvent[]} */
  #events = [];

  /** @param {number} minutes how far back to keep */
  constructor(minutes) {
    this.#span = 60 * minutes;
  }

  /** The message that asks the server for what is new. */
  get question() {
    const minutes = this.#span / 60;
    return this.#known === null ? { type: "history", minutes } : { type: "history", minutes, since: this.#known };
  }

  /** Request the whole history next: a restarted server counts its time from zero. */
  reconnected() {
    this.#known = null;
  }

  /** Add an answer; known rows are skipped. @param {StatusHistory} history */
  add(history) {
    const again = this.#startedAt !== null && Math.abs(history.started_at - this.#startedAt) < SAME_START_S;
    if (!again) this.#startedAt = history.started_at;
    const start = /** @type {number} */ (this.#startedAt);
    this.#step = history.step_s;
    const last = this.last ?? -Infinity;
    history.at.forEach((at, row) => {
      if (start + at > last) this.#append(start + at, rowOf(history, row));
    });
    const lastEvent = this.#events.at(-1)?.at ?? -Infinity;
    for (const { at, event, device = null } of history.events)
      if (start + at > lastEvent) this.#events.push({ at: start + at, event, device });
    this.#known = history.at.at(-1) ?? this.#known;
    this.#forget(start + history.uptime_s - this.#span);
  }

  /** The time of the last row in seconds since 1970; null before there is one. */
  get last() {
    return this.column("at").at(-1) ?? null;
  }

  get events() {
    return this.#events;
  }

  /** @param {string} name @returns {Column} */
  column(name) {
    return this.#columns.get(name) ?? [];
  }

  /** @param {number} at @param {Map<string, number | null>} row */
  #append(at, row) {
    const last = this.last;
    if (last !== null && at - last > GAP_STEPS * this.#step) this.#push(last + this.#step, new Map());
    this.#push(at, row);
  }

  /** @param {number} at @param {Map<string, number | null>} row */
  #push(at, row) {
    const times = this.column("at");
    for (const name of row.keys())
      if (!this.#columns.has(name)) this.#columns.set(name, times.map(() => null));
    for (const [name, column] of this.#columns) column.push(name === "at" ? at : row.get(name) ?? null);
  }

  /** @param {number} before */
  #forget(before) {
    const times = this.column("at");
    let old = 0;
    while (old < times.length && Number(times[old]) < before) old++;
    if (old) for (const column of this.#columns.values()) column.splice(0, old);
    this.#events = this.#events.filter(({ at }) => at >= before);
  }
}

/** @param {StatusHistory} history @param {number} row */
function rowOf(history, row) {
  const { p50, p95, p99 } = history.first_audio_ms;
  const { contexts, queued, connections } = history;
  /** @type {Map<string, number | null>} */
  const values = new Map();
  for (const [name, column] of Object.entries({ p50, p95, p99, contexts, queued, connections }))
    values.set(name, column[row]);
  for (const [device, columns] of Object.entries(history.devices))
    for (const [name, column] of Object.entries(columns)) values.set(`${device} ${name}`, column[row]);
  return values;
}
