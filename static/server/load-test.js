// @ts-check
// Many takes at once, on a connection of their own: nothing of them is played, only how fast they come is shown.

import { Channel } from "../lib/channel.js";
import { handleOf, samplesOf } from "../speech/audio-frame.js";

const SENTENCES = [
  "Twenty of these sentences are being spoken at the same moment.",
  "Each of them has a voice of its own, and none waits for another.",
  "The first sound of every one should be here within a few milliseconds.",
  "What you see is how long each of them took, from the request to the end.",
];

/**
 * @typedef {object} Take
 * @property {string} voice
 * @property {number | null} first milliseconds from the request to the first sound
 * @property {number | null} end milliseconds from the request to the end
 * @property {number} audioS seconds of sound that have arrived
 * @property {string} error why it failed; empty if it did not
 */

/** Events: "change", "end" (with why it ended early as detail, or ""). */
export class LoadTest extends EventTarget {
  #channel;
  #most;
  #voices;
  #began = 0;
  /** @type {Take[]} */
  takes = [];
  /** @type {Map<number, {take: Take, rate: number}>} */
  #byHandle = new Map();

  /**
   * @param {import("../lib/key.js").Key} key
   * @param {number} most how many takes to speak, where the server allows it
   * @param {{id: string, name: string}[]} voices to speak in, in turn
   */
  constructor(key, most, voices) {
    super();
    this.#most = most;
    this.#voices = voices;
    this.#channel = new Channel("ws/speak", key);
    const on = (/** @type {string} */ type, /** @type {(message: any) => void} */ hear) =>
      this.#channel.addEventListener(type, (event) => hear(/** @type {CustomEvent} */ (event).detail));
    on("ready", (ready) => this.#begin(ready));
    on("started", ({ context, handle, sample_rate: rate }) =>
      this.#byHandle.set(handle, { take: this.#named(context), rate }));
    on("binary", (message) => this.#sounded(message));
    on("done", ({ context }) => this.#ended(context, ""));
    on("error", ({ context, message }) => (context ? this.#ended(context, message) : this.#stop(message)));
    on("lost", ({ reason }) => this.#stop(reason || "The server refused the connection, or it was lost."));
  }

  start() {
    this.#channel.connect();
  }

  /** Stop what is still being spoken. */
  stop() {
    this.#stop("Stopped.");
  }

  get #passed() {
    return performance.now() - this.#began;
  }

  /** @param {import("../state.js").Ready} ready */
  #begin({ limits, sample_rate: rate }) {
    if (this.takes.length) return;
    const voices = this.#voices;
    const count = Math.min(this.#most, limits.parallel_contexts);
    this.takes = Array.from({ length: count }, (_, at) => (
      { voice: voices[at % voices.length].name, first: null, end: null, audioS: 0, error: "" }
    ));
    this.#began = performance.now();
    this.takes.forEach((_, at) => this.#channel.send({
      type: "speak",
      context: `take-${at}`,
      text: SENTENCES[at % SENTENCES.length],
      voice: voices[at % voices.length].id,
      sample_rate: rate,
    }));
    this.#tell("change");
  }

  /** @param {ArrayBuffer} message */
  #sounded(message) {
    const found = this.#byHandle.get(handleOf(message));
    if (!found) return;
    found.take.first ??= this.#passed;
    found.take.audioS += samplesOf(message).length / found.rate;
    this.#tell("change");
  }

  /**
   * @param {string} context
   * @param {string} error
   */
  #ended(context, error) {
    Object.assign(this.#named(context), { end: this.#passed, error });
    this.#tell("change");
    if (this.takes.every(({ end }) => end !== null)) this.#stop("");
  }

  /** @param {string} context */
  #named(context) {
    return this.takes[Number(context.replace("take-", ""))];
  }

  /** @param {string} why */
  #stop(why) {
    this.#channel.close();
    this.#tell("end", why);
  }

  /**
   * @param {string} type
   * @param {string} [detail]
   */
  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
