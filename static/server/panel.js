// The Server tab: the state of the server and its devices.

const GIB = 2 ** 30;

/**
 * @param {HTMLElement} _panel
 * @param {import("../app.js").App} app
 */
export function mount(_panel, { store, status }) {
  const panel = new StatusPanel();
  store.watch(["status"], (state) => (state.status ? panel.show(state.status) : panel.forget()));
  status.addEventListener("worker", ({ detail: { device, state } }) => panel.change(device, { worker: { state } }));
  status.addEventListener("memory_pressure", ({ detail: { device, level, pressure } }) =>
    panel.change(device, { memory: { level, pressure } }));
}

class StatusPanel {
  #view = (id) => document.getElementById(id);

  #devices = [];

  show({ devices, connections, contexts, first_audio_ms: first, uptime_s: uptime }) {
    this.#view("connections").textContent = connections;
    this.#view("contexts").textContent = contexts;
    const times = [first.p50, first.p95, first.p99];
    this.#view("percentiles").textContent = times.every((time) => time === null)
      ? "–"
      : `${times.map((time) => time.toFixed(1)).join(" / ")} ms`;
    this.#view("uptime").textContent = duration(uptime);
    this.#devices = devices;
    const list = this.#view("devices");
    while (list.children.length > devices.length) list.lastChild.remove();
    devices.forEach((device, at) => this.#showDevice(list.children[at] ?? list.appendChild(row()), device));
  }

  // Updates one device between status messages.
  change(id, parts) {
    const at = this.#devices.findIndex((device) => device.id === id);
    if (at < 0) return;
    const device = this.#devices[at];
    for (const [part, values] of Object.entries(parts)) Object.assign(device[part], values);
    this.#showDevice(this.#view("devices").children[at], device);
  }

  forget() {
    this.#devices = [];
    for (const id of ["connections", "contexts", "percentiles", "uptime"]) this.#view(id).textContent = "–";
    this.#view("devices").replaceChildren();
  }

  #showDevice(item, { id, name, worker, memory }) {
    const part = (selector) => item.querySelector(selector);
    part(".device-name").textContent = `${id} · ${name}`;
    const waiting = worker.queued ? `, ${worker.queued} waiting` : "";
    const again = worker.restarts ? `, restarted ${worker.restarts}×` : "";
    const pid = worker.pid ? `, pid ${worker.pid}` : "";
    part(".worker").textContent =
      `${worker.state}, ${worker.active} of ${worker.slots} slots${waiting}${again}${pid}`;
    const meter = part("meter");
    meter.value = memory.pressure;
    meter.setAttribute("aria-label", `Memory pressure of ${id}`);
    const level = part(".level");
    level.dataset.level = memory.total ? memory.level : "unknown";
    level.textContent = !memory.total ? "Memory pressure unknown" : (
      `Memory pressure ${Math.round(100 * memory.pressure)} %, ${memory.level} ` +
      `(${(memory.used / GIB).toFixed(1)} of ${(memory.total / GIB).toFixed(1)} GiB)`
    );
  }
}

function row() {
  const item = document.createElement("li");
  const title = document.createElement("div");
  title.className = "device-title";
  const name = document.createElement("strong");
  name.className = "device-name";
  const worker = document.createElement("span");
  worker.className = "worker";
  title.append(name, worker);
  const meter = document.createElement("meter");
  Object.assign(meter, { min: 0, max: 1, high: 0.95, low: 0.85, optimum: 0 });
  const level = document.createElement("div");
  level.className = "level";
  item.append(title, meter, level);
  return item;
}

function duration(seconds) {
  const whole = Math.floor(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}
