// @ts-check
// The part of a recording to keep: two sliders below its waveform.

import { byId } from "../lib/element.js";
import { Emitter } from "../lib/emitter.js";
import { within } from "./cut.js";

const STEP_S = 0.05; // as in the page

/** Events: "change". */
export class Trim extends Emitter {
  #from = byId("trim-from");
  #to = byId("trim-to");
  #duration = Infinity;
  /** The part in seconds. @type {[number, number]} */
  part = [0, Infinity];

  constructor() {
    super();
    this.#from.addEventListener("input", () => this.#move("from"));
    this.#to.addEventListener("input", () => this.#move("to"));
  }

  /** Offer to trim a recording. @param {number} duration seconds */
  show(duration) {
    this.#duration = duration;
    const most = String(STEP_S * Math.ceil(duration / STEP_S));
    this.#from.max = this.#to.max = most;
    this.#from.value = "0";
    this.#to.value = most;
    byId("trim").hidden = false;
    this.#move("to");
  }

  /** Keep all of a recording. */
  hide() {
    this.#duration = Infinity;
    this.part = [0, Infinity];
    byId("trim").hidden = true;
  }

  /** True if nothing is cut off. */
  get whole() {
    return this.#duration === Infinity || this.part[1] - this.part[0] > this.#duration - STEP_S / 2;
  }

  /** @param {"from" | "to"} moved */
  #move(moved) {
    this.part = within(Number(this.#from.value), Number(this.#to.value), this.#duration, moved);
    [this.#from, this.#to].forEach((slider, end) => {
      const time = `${this.part[end].toFixed(1)} s`;
      slider.value = String(this.part[end]);
      slider.setAttribute("aria-valuetext", time);
      byId(`${slider.id}-time`).textContent = time;
    });
    this.emit("change");
  }
}
