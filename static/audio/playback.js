// @ts-check
// Plays a take from any sample. Runs in the worklet, and needs nothing of it, so that it can be tested anywhere.
//
// Messages in:  load {take, rate}, audio {take, samples}, cut {take, length}, end {take, complete}, play, pause,
//              seek {to}
// Reports:      {take, position, state, underruns}, ten times a second and when the state changes; position in
//              samples of the take
//
// States: "paused", "waiting" for sound to arrive, "playing", "ended".

import { Pcm } from "../take/pcm.js";

const START_S = 0.12; // of sound to have before starting
const GROWTH = 1.5; // of that, after each underrun
const LONGEST_START_S = 1; // slow text also causes gaps, which no buffer prevents
const PATIENCE = 2; // play a buffer that has not reached the start level after this many times its duration
const FADE_S = 0.005;
const REPORT_S = 0.1;

export class Playback {
  /** @type {number | null} */
  #take = null;
  #sound = new Pcm();
  #step = 1; // samples of the take for one of the output
  #position = 0;
  #state = "paused";
  #gain = 0;
  #complete = false; // whether nothing more will come
  #underruns = 0;
  #startS = START_S; // learned: kept from take to take
  #heldS = 0;
  #tail = new Float32Array(0); // the fade-out of what was interrupted, mixed into what follows
  #tailAt = 0;
  #reportInS = 0;
  #rate;
  #send;

  /**
   * @param {number} rate of the output, in Hz
   * @param {(report: object) => void} report called with each report
   */
  constructor(rate, report) {
    this.#rate = rate;
    this.#send = report;
  }

  /** @param {any} message */
  receive(message) {
    if (message.type === "load") this.#load(message);
    else if (message.type === "play") this.#play();
    else if (message.type === "pause") this.#pause();
    else if (message.type === "seek") this.#seek(message.to);
    else if (message.take !== this.#take) return;
    else if (message.type === "audio") this.#sound.append(message.samples);
    else if (message.type === "cut") this.#cut(message.length);
    else if (message.type === "end") this.#complete = message.complete;
  }

  /** Fill one channel with the next samples. @param {Float32Array} channel */
  fill(channel) {
    const quantumS = channel.length / this.#rate;
    if (this.#state === "waiting" && this.#enough(quantumS)) this.#become("playing");
    if (this.#state === "playing") this.#playInto(channel);
    this.#addTail(channel);
    this.#reportInS -= quantumS;
    if (this.#reportInS <= 0 && this.#state === "playing") this.#report();
  }

  #load(/** @type {{ take: number, rate: number }} */ { take, rate }) {
    this.#interrupt();
    this.#take = take;
    this.#sound = new Pcm();
    this.#step = rate / this.#rate;
    this.#position = 0;
    this.#complete = false;
    this.#underruns = 0;
    this.#become("paused");
  }

  #play() {
    if (this.#state === "ended") this.#position = 0;
    if (this.#state !== "playing") this.#become("waiting");
  }

  #pause() {
    this.#interrupt();
    if (this.#state !== "ended") this.#become("paused");
  }

  #seek(/** @type {number} */ to) {
    this.#interrupt();
    this.#position = Math.max(0, Math.min(to, this.#sound.length));
    this.#become(this.#state === "playing" ? "waiting" : this.#state === "ended" ? "paused" : this.#state);
  }

  #cut(/** @type {number} */ length) {
    if (this.#position > length) {
      this.#interrupt();
      this.#position = length;
      if (this.#state === "playing" || this.#state === "ended") this.#become("waiting");
    }
    this.#complete = false;
    this.#sound.truncate(length);
  }

  get #available() {
    return (this.#sound.length - this.#position) / this.#step / this.#rate; // seconds
  }

  #enough(/** @type {number} */ quantumS) {
    if (this.#complete) return true;
    if (this.#available > 0) this.#heldS += quantumS;
    return this.#available >= this.#startS || this.#heldS >= PATIENCE * this.#startS;
  }

  #playInto(/** @type {Float32Array} */ channel) {
    const slope = 1 / (FADE_S * this.#rate);
    for (let at = 0; at < channel.length; at++) {
      const left = (this.#sound.length - this.#position) / this.#step;
      if (left <= 0) {
        this.#runDry();
        return;
      }
      const fading = !this.#complete && left * slope < 1;
      this.#gain = fading ? Math.max(0, this.#gain - slope) : Math.min(1, this.#gain + slope);
      channel[at] = this.#gain * valueAt(this.#sound, this.#position);
      this.#position = Math.min(this.#sound.length, this.#position + this.#step);
    }
  }

  #runDry() {
    this.#gain = 0;
    if (this.#complete) {
      this.#become("ended");
      return;
    }
    this.#underruns += 1;
    this.#startS = Math.min(LONGEST_START_S, this.#startS * GROWTH);
    this.#become("waiting");
  }

  // Fades out the current sound.
  #interrupt() {
    if (this.#state !== "playing" || this.#gain === 0) return;
    const slope = 1 / (FADE_S * this.#rate);
    this.#tail = new Float32Array(Math.ceil(this.#gain / slope));
    this.#tailAt = 0;
    for (let at = 0; at < this.#tail.length; at++)
      this.#tail[at] = Math.max(0, this.#gain - at * slope) * valueAt(this.#sound, this.#position + at * this.#step);
    this.#gain = 0;
  }

  #addTail(/** @type {Float32Array} */ channel) {
    const length = Math.min(channel.length, this.#tail.length - this.#tailAt);
    for (let at = 0; at < length; at++) channel[at] += this.#tail[this.#tailAt++];
  }

  #become(/** @type {string} */ state) {
    this.#state = state;
    this.#heldS = 0;
    this.#report();
  }

  #report() {
    this.#reportInS = REPORT_S;
    this.#send({
      take: this.#take,
      position: Math.floor(this.#position),
      state: this.#state,
      underruns: this.#underruns,
    });
  }
}

/**
 * Return the value at a position that may lie between two samples, -1 to 1; beyond the end it is 0.
 * @param {Pcm} sound
 * @param {number} position
 */
function valueAt(sound, position) {
  const before = Math.floor(position);
  if (before >= sound.length) return 0;
  const here = sound.sample(before);
  const after = before + 1;
  if (after >= sound.length || position === before) return here / 32768;
  return (here + (position - before) * (sound.sample(after) - here)) / 32768;
}
