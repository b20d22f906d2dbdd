// @ts-check
// The Server tab: what the server does now and what it did, restarts included.

import { byId, element, setText } from "../lib/element.js";
import { Notice } from "../lib/notice.js";
import { UserError } from "../lib/user-error.js";
import { Devices } from "./devices.js";
import { mountLoadPanel } from "./load-panel.js";
import { duration, eventsOf, milliseconds, plotsOf, timeOfDay } from "./plots.js";
import { Timeline } from "./timeline.js";

/** @param {HTMLElement} panel @param {App} app */
export function mount(panel, app) {
  const { store, status } = app;
  const devices = new Devices(byId("devices"));
  const past = new Past(app);

  store.watch(["status", "tab"], (state) => {
    if (!isShown(store)) return;
    showReadings(state.status);
    devices.show(state.status?.devices ?? []);
    if (state.status) past.ask();
  });
  store.watch(["ready"], ({ ready }) => write("engine", ready?.engine));
  status.on("worker", ({ device, state }) => devices.change(device, { worker: { state } }));
  status.on("memory_pressure", ({ device, level, pressure }) => devices.change(device, { memory: { level, pressure } }));
  panel.addEventListener("change", ({ target }) => {
    if (target instanceof HTMLInputElement && target.name === "span") past.minutes = Number(target.value);
  });
  mountLoadPanel(app);
}

/** @param {App["store"]} store */
function isShown(store) {
  return store.state.tab === "server" && !document.hidden;
}

/** What the server did over the last minutes: charts and restarts. */
class Past {
  #store;
  #status;
  #minutes = 15;
  #timeline = new Timeline(this.#minutes);
  #notice = new Notice(byId("charts-notice"));
  /** @type {Promise<Charts | null> | null} */
  #charts = null;
  #shown = ""; // the events in the list

  /** @param {App} app */
  constructor({ store, status }) {
    this.#store = store;
    this.#status = status;
    status.on("lost", () => this.#timeline.reconnected());
    status.on("history", (history) => this.#add(history));
  }

  /** How far back it goes. */
  set minutes(/** @type {number} */ minutes) {
    this.#minutes = minutes;
    this.#timeline = new Timeline(minutes);
    this.ask();
  }

  /** Ask the server for what is new. */
  ask() {
    this.#status.send(this.#timeline.question);
  }

  /** @param {StatusHistory & { minutes: number }} history */
  async #add(history) {
    if (history.minutes !== this.#minutes) return; // the other span was chosen meanwhile
    this.#timeline.add(history);
    if (!isShown(this.#store)) return;
    this.#showEvents();
    this.#charts ??= this.#loadCharts();
    const charts = await this.#charts;
    if (!charts) return;
    charts.minutes = this.#minutes;
    charts.show(plotsOf(this.#store.state.status?.devices ?? []), this.#timeline);
  }

  async #loadCharts() {
    try {
      const loaded = await import("./charts.js");
      this.#notice.clearError();
      return new loaded.Charts(byId("charts"), this.#minutes);
    } catch {
      this.#notice.showError(new UserError("The charts could not be loaded; reload the page to try again."));
      return null;
    }
  }

  #showEvents() {
    const entries = eventsOf(this.#timeline.events);
    if (JSON.stringify(entries) === this.#shown) return;
    this.#shown = JSON.stringify(entries);
    const items = entries.map(({ at, text }) => element("li", {}, element("time", {}, timeOfDay(at, "seconds")), ` ${text}`));
    if (!items.length) items.push(element("li", {}, "No worker stopped in this time."));
    byId("events").replaceChildren(...items);
  }
}

/** @param {any} state the server's report; null while there is no connection */
function showReadings(state) {
  const first = state ? [state.first_audio_ms.p50, state.first_audio_ms.p95, state.first_audio_ms.p99] : [];
  const waiting = state?.devices.reduce((/** @type {number} */ sum, /** @type {any} */ { worker }) => sum + worker.queued, 0);
  write("percentiles", first.some((one) => one !== null) ? first.map(milliseconds).join(" / ") : null);
  write("contexts", state?.contexts);
  write("waiting", waiting);
  write("connections", state?.connections);
  write("uptime", state ? duration(state.uptime_s) : null);
}

/** @param {string} id @param {string | number | null | undefined} value */
function write(id, value) {
  setText(byId(id), String(value ?? "–"));
}
