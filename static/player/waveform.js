// @ts-check
// The waveform around what is heard, scrolling under a fixed line; ticks where sentences and words begin.

import { onThemeChange } from "../lib/theme.js";
import { indexAt } from "../take/marks.js";
import { Peaks } from "../take/peaks.js";

const WINDOW_S = 16;
const STEPS_PER_S = 60; // of the drawing
const BAR = 3; // pixels of a bar and of the gap to the next
const GAP = 2;
const PLACE = 0.3; // position of the line while the waveform scrolls

export class TakeWaveform {
  #canvas;
  #player;
  /** @type {Peaks | null} */
  #peaks = null;
  /** @type {Take | null} */
  #take = null;
  #page = 0; // first second shown, with reduced motion
  #still = matchMedia("(prefers-reduced-motion: reduce)");
  #colours = { ink: "", faint: "", tick: "" };
  #size = { width: 0, height: 0 }; // read once, as reading it in each frame would lay out the page
  #drawn = "";

  /** @param {HTMLCanvasElement} canvas @param {Played} player */
  constructor(canvas, player) {
    this.#canvas = canvas;
    this.#player = player;
    onThemeChange(() => {
      this.#readColours();
      this.draw();
    });
    new ResizeObserver(([{ contentRect }]) => {
      this.#size = { width: contentRect.width, height: contentRect.height };
      this.draw();
    }).observe(canvas);
    canvas.addEventListener("pointerdown", (event) => this.#seek(event));
    canvas.addEventListener("pointermove", (event) => event.buttons === 1 && this.#seek(event));
  }

  draw() {
    const { take, position } = this.#player;
    if (take !== this.#take) {
      this.#take = take;
      this.#peaks = take && new Peaks(take);
      this.#page = 0;
    }
    this.#peaks?.update();
    const ratio = devicePixelRatio || 1;
    const { width, height } = this.#size;
    if (!width || !height) return;
    if (!this.#colours.ink) this.#readColours();
    const moment = take ? Math.round((position / take.rate) * STEPS_PER_S) : -1;
    const key = [width, height, ratio, moment, take?.length, this.#colours.ink].join(":");
    if (key === this.#drawn) return;
    this.#drawn = key;
    if (this.#canvas.width !== Math.round(width * ratio)) this.#canvas.width = Math.round(width * ratio);
    if (this.#canvas.height !== Math.round(height * ratio)) this.#canvas.height = Math.round(height * ratio);
    const pen = /** @type {CanvasRenderingContext2D} */ (this.#canvas.getContext("2d"));
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    this.#drawBars(pen, width, height);
    if (take) this.#drawTicks(pen, width, height);
  }

  /** Seconds of the take at the left edge. */
  get #from() {
    const take = this.#take;
    if (!take) return 0;
    const now = this.#player.position / take.rate;
    const whole = Math.max(take.seconds, take.expectedSeconds ?? 0);
    const last = Math.max(0, whole - WINDOW_S);
    if (!this.#still.matches) return Math.min(last, Math.max(0, now - PLACE * WINDOW_S));
    if (now < this.#page || now > this.#page + 0.9 * WINDOW_S) this.#page = Math.max(0, now - 0.1 * WINDOW_S);
    return Math.min(last, this.#page);
  }

  #drawBars(/** @type {CanvasRenderingContext2D} */ pen, /** @type {number} */ width, /** @type {number} */ height) {
    const take = this.#take;
    const middle = height / 2;
    const step = BAR + GAP;
    const from = this.#from;
    const perBar = (WINDOW_S * step) / width; // seconds
    const first = Math.floor(from / perBar); // bars are fixed in the sound, so they do not flicker
    const now = take ? this.#player.position / take.rate : 0;
    for (let bar = first; ; bar++) {
      const seconds = bar * perBar;
      const x = ((seconds - from) / WINDOW_S) * width;
      if (x > width) break;
      const arrived = take && seconds < take.seconds;
      const level = arrived ? (this.#peaks?.between(seconds * take.rate, (seconds + perBar) * take.rate) ?? 0) : 0;
      const tall = arrived ? Math.max(2, Math.sqrt(level) * (height - 14)) : 2;
      pen.fillStyle = arrived && seconds + perBar <= now ? this.#colours.ink : this.#colours.faint;
      pen.fillRect(x, middle - tall / 2, BAR, tall);
    }
    if (!take) return;
    pen.fillStyle = this.#colours.ink;
    pen.fillRect(((now - from) / WINDOW_S) * width - 1, 0, 2, height);
  }

  #drawTicks(/** @type {CanvasRenderingContext2D} */ pen, /** @type {number} */ width, /** @type {number} */ height) {
    const take = /** @type {Take} */ (this.#take);
    const from = this.#from;
    pen.fillStyle = this.#colours.tick;
    const mark = (/** @type {Mark[]} */ marks, /** @type {number} */ tall, /** @type {number} */ wide) => {
      for (let at = Math.max(0, indexAt(marks, from * take.rate)); at < marks.length; at++) {
        const x = ((marks[at].at / take.rate - from) / WINDOW_S) * width;
        if (x > width) return;
        pen.fillRect(x, height - tall, wide, tall);
      }
    };
    mark(take.words, 3, 1);
    mark(take.sentences, 7, 2);
  }

  #readColours() {
    const style = getComputedStyle(this.#canvas);
    const ink = style.color;
    const faint = `color-mix(in srgb, ${ink} 38%, transparent)`;
    this.#colours = { ink, faint, tick: getComputedStyle(document.body).color };
  }

  #seek(/** @type {PointerEvent} */ event) {
    const take = this.#take;
    if (!take) return;
    const { left, width } = this.#canvas.getBoundingClientRect();
    this.#player.seek((this.#from + ((event.clientX - left) / width) * WINDOW_S) * take.rate);
  }
}
