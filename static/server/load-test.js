// @ts-check
// Speaks many takes at once on a separate connection and measures them; nothing is played.

import { Emitter } from "../lib/emitter.js";
import { Channel } from "../lib/channel.js";
import { handleOf, samplesOf } from "../speech/contexts.js";

const SENTENCES = [
  "Twenty of these sentences are being spoken at the same moment.",
  "Each of them has a voice of its own, and none waits for another.",
  "The first sound of every one should be here within a few milliseconds.",
  "What you see is how long each of them took, from the request to the end.",
];

/** Events: "change", "end" (with why it ended early as detail, or ""). */
export class LoadTest extends Emitter {
  #channel;
  #most;
  #voices;
  #began = 0;
  /** @type {LoadTake[]} */
  takes = [];
  /** @type {Map<number, {take: LoadTake, rate: number}>} */
  #byHandle = new Map();

  /**
   * @param {Key} key
   * @param {number} most how many takes to speak, where the server allows it
   * @param {{id: string, name: string}[]} voices to speak in, in turn
   */
  constructor(key, most, voices) {
    super();
    this.#most = most;
    this.#voices = voices;
    this.#channel = new Channel("ws/speak", key);
    this.#channel.on("ready", (ready) => this.#begin(ready));
    this.#channel.on("started", ({ context, handle, sample_rate: rate }) =>
      this.#byHandle.set(handle, { take: this.#named(context), rate }));
    this.#channel.on("binary", (message) => this.#sounded(message));
    this.#channel.on("done", ({ context }) => this.#ended(context, ""));
    this.#channel.on("error", ({ context, message }) => (context ? this.#ended(context, message) : this.#stop(message)));
    this.#channel.on("lost", ({ reason }) => this.#stop(reason || "The server refused the connection, or it was lost."));
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

  /** @param {Ready} ready */
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
    this.emit("change");
  }

  /** @param {ArrayBuffer} message */
  #sounded(message) {
    const found = this.#byHandle.get(handleOf(message));
    if (!found) return;
    found.take.first ??= this.#passed;
    found.take.audioS += samplesOf(message).length / found.rate;
    this.emit("change");
  }

  /** @param {string} context @param {string} error */
  #ended(context, error) {
    Object.assign(this.#named(context), { end: this.#passed, error });
    this.emit("change");
    if (this.takes.every(({ end }) => end !== null)) this.#stop("");
  }

  /** @param {string} context */
  #named(context) {
    return this.takes[Number(context.replace("take-", ""))];
  }

  /** @param {string} why */
  #stop(why) {
    this.#channel.close();
    this.emit("end", why);
  }
}
