// @ts-check
// The list of devices: what each worker does, and the memory of its device.

import { element, setText } from "../lib/element.js";
import { percent } from "./plots.js";

const GIB = 2 ** 30;
const STATES = new Map([
  ["starting", "starting"],
  ["ready", "ready"],
  ["restarting", "restarting"],
  ["broken", "keeps failing; will be retried"],
  ["stopped", "stopped"],
]);

export class Devices {
  #list;
  /** @type {Device[]} */
  #devices = [];

  /** @param {HTMLElement} list */
  constructor(list) {
    this.#list = list;
  }

  /** @param {Device[]} devices */
  show(devices) {
    this.#devices = devices;
    while (this.#list.children.length > devices.length) this.#list.lastElementChild?.remove();
    devices.forEach((device, at) => this.#write(this.#list.children[at] ?? this.#list.appendChild(row()), device));
  }

  /**
   * Change one device between two reports.
   * @param {string} id
   * @param {{worker?: object, memory?: object}} parts
   */
  change(id, { worker, memory }) {
    this.show(this.#devices.map((device) => device.id !== id ? device : {
      ...device, worker: { ...device.worker, ...worker }, memory: { ...device.memory, ...memory },
    }));
  }

  /** @param {Element} item @param {Device} device */
  #write(item, { id, name, worker, memory }) {
    const part = (/** @type {string} */ selector) => /** @type {HTMLElement} */ (item.querySelector(selector));
    setText(part(".device-name"), id === name ? id : `${id} · ${name}`);
    const facts = [STATES.get(worker.state) ?? worker.state];
    if (worker.slots) facts.push(`speaking ${worker.active} of ${worker.slots} at once`);
    if (worker.queued) facts.push(`${worker.queued} waiting`);
    if (worker.restarts) facts.push(worker.restarts === 1 ? "restarted once" : `restarted ${worker.restarts} times`);
    setText(part(".worker"), facts.join(", "));
    const meter = /** @type {HTMLMeterElement} */ (item.querySelector("meter"));
    meter.value = memory.pressure;
    meter.ariaLabel = `Memory of ${id}`;
    const level = part(".level");
    level.dataset.level = memory.total ? memory.level : "unknown";
    setText(level, memory.total ? usage(memory) : "Memory pressure not known");
  }
}

/** @param {Device["memory"]} memory */
function usage({ used, total, model, slots, pressure, level }) {
  const parts = [[model, "model"], [slots, "slots"]].filter(([bytes]) => typeof bytes === "number")
    .map(([bytes, what]) => `${gib(Number(bytes))} ${what}`);
  const inside = parts.length ? `, of it ${parts.join(", ")}` : "";
  return `Memory pressure ${percent(pressure)}, ${level}: ${gib(used)} of ${gib(total)} GiB in use${inside}`;
}

/** @param {number} bytes */
function gib(bytes) {
  return (bytes / GIB).toFixed(1);
}

function row() {
  const title = element(
    "div", { className: "device-title" },
    element("strong", { className: "device-name" }), element("span", { className: "worker" }),
  );
  const meter = element("meter", { min: 0, max: 1, low: 0.85, high: 0.95, optimum: 0 });
  return element("li", {}, title, meter, element("div", { className: "level" }));
}
