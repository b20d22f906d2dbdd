// @ts-check
// The waveform of a recording. Heights: lowest and highest value of each part in turn, 0 to 100; 50 is silence.

import { onThemeChange } from "../lib/theme.js";
import { monoOf } from "./cut.js";

const PARTS = 200; // the same number as the server's

export class RecordingWaveform {
  #canvas;
  /** @type {number[]} */
  #heights = [];
  /** @type {number | null} */
  #position = null; // of playback, 0 to 1; null when stopped
  #kept = [0, 1]; // the kept part; the rest is drawn faint

  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.#canvas = canvas;
    onThemeChange(() => this.#draw());
  }

  /** @param {number[]} heights */
  show(heights) {
    this.#heights = heights;
    this.#kept = [0, 1];
    this.move(null);
  }

  /**
   * @param {number} from 0 to 1
   * @param {number} to 0 to 1
   */
  keep(from, to) {
    this.#kept = [from, to];
    this.#draw();
  }

  /** @param {number | null} position */
  move(position) {
    this.#position = position;
    this.#draw();
  }

  #draw() {
    const { width, height } = this.#canvas;
    const pen = /** @type {CanvasRenderingContext2D} */ (this.#canvas.getContext("2d"));
    pen.clearRect(0, 0, width, height);
    pen.fillStyle = getComputedStyle(this.#canvas).color;
    const parts = this.#heights.length / 2;
    const [from, to] = this.#kept.map((share) => share * parts);
    for (let part = 0; part < parts; part++) {
      const kept = part + 0.5 >= from && part + 0.5 <= to;
      const heard = this.#position === null || part < this.#position * parts;
      pen.globalAlpha = kept ? (heard ? 1 : 0.4) : 0.2;
      const [low, high] = [this.#heights[2 * part], this.#heights[2 * part + 1]];
      const tall = Math.max(2, ((high - low) * height) / 100);
      pen.fillRect((part * width) / parts, height * (1 - (low + high) / 200) - tall / 2, width / parts - 1, tall);
    }
  }
}

/**
 * Return the heights of a recording, mixed to mono, with the highest peak at 0 or 100.
 * @param {AudioBuffer} buffer
 */
export function heightsOf(buffer) {
  const mono = monoOf(buffer);
  const extremes = [];
  for (let part = 0; part < PARTS; part++) {
    const end = Math.floor(((part + 1) * buffer.length) / PARTS);
    let [low, high] = [0, 0];
    for (let at = Math.floor((part * buffer.length) / PARTS); at < end; at++) {
      low = Math.min(low, mono(at));
      high = Math.max(high, mono(at));
    }
    extremes.push(low, high);
  }
  const peak = Math.max(...extremes.map(Math.abs)) || 1;
  return extremes.map((extreme) => 50 + (50 * extreme) / peak);
}
