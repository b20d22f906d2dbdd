// @ts-check
// The Server tab: what the server does now and what it did, restarts included.

import { byId, element, setText } from "../lib/element.js";
import { Notice } from "../lib/notice.js";
import { UserError } from "../lib/user-error.js";
import { Devices } from "./devices.js";
import { mountLoadPanel } from "./load-panel.js";
import { duration, eventsOf, milliseconds, plotsOf } from "./plots.js";
import { Timeline } from "./timeline.js";

/** @param {HTMLElement} panel @param {App} app */
export function mount(panel, app) {
  const { store, status } = app;
  const devices = new Devices(byId("devices"));
  const box = byId("charts");
  let minutes = 15;
  let timeline = new Timeline(minutes);
  /** @type {Promise<Charts | null> | null} */
  let charts = null;
  const chartsNotice = new Notice(byId("charts-notice"));

  const isShown = () => store.state.tab === "server" && !document.hidden;

  store.watch(["status", "tab"], (state) => {
    if (!isShown()) return;
    showReadings(state.status);
    devices.show(state.status?.devices ?? []);
    if (state.status) status.send(timeline.question);
  });
  store.watch(["ready"], ({ ready }) => write("engine", ready?.engine));
  status.on("worker", ({ device, state }) => devices.change(device, { worker: { state } }));
  status.on("memory_pressure", ({ device, level, pressure }) => devices.change(device, { memory: { level, pressure } }));
  status.on("lost", () => timeline.reconnected());
  status.on("history", async (history) => {
    if (history.minutes !== minutes) return; // the other span was chosen meanwhile
    timeline.add(history);
    if (!isShown()) return;
    showEvents();
    charts ??= loadCharts();
    const drawn = await charts;
    if (!drawn) return;
    drawn.minutes = minutes;
    drawn.show(plotsOf(store.state.status?.devices ?? []), timeline);
  });

  panel.addEventListener("change", ({ target }) => {
    if (!(target instanceof HTMLInputElement) || target.name !== "span") return;
    minutes = Number(target.value);
    timeline = new Timeline(minutes);
    status.send(timeline.question);
  });

  async function loadCharts() {
    try {
      const loaded = await import("./charts.js");
      chartsNotice.clearError();
      return new loaded.Charts(box, minutes);
    } catch {
      chartsNotice.showError(new UserError("The charts could not be loaded; reload the page to try again."));
      return null;
    }
  }

  let shown = "";
  function showEvents() {
    const entries = eventsOf(timeline.events);
    if (JSON.stringify(entries) === shown) return;
    shown = JSON.stringify(entries);
    const items = entries.map(({ at, text }) => element("li", {}, element("time", {}, time(at)), ` ${text}`));
    if (!items.length) items.push(element("li", {}, "No worker stopped in this time."));
    byId("events").replaceChildren(...items);
  }

  mountLoadPanel(app);
}

/** @param {number} at seconds since 1970 */
function time(at) {
  return new Date(1000 * at).toLocaleTimeString();
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
