// @ts-check
// The contexts of this page on the server: gives each the messages and the sound that belong to it.

import { Context } from "./context.js";

const FAR_MS = 30 * 60_000; // how far ahead of real time the sound may come, where it costs the server little
const NEAR_MS = 60_000; // and where it costs much

// A binary message is a header with the handle of the context, then mono 16-bit PCM.
const HEADER_BYTES = 16;
const HANDLE_AT = 2;

export class Contexts {
  #channel;
  #store;
  #count = 0;
  /** @type {Map<string, Context>} */
  #byName = new Map();
  /** @type {Map<number, Context>} */
  #byHandle = new Map();

  /** @param {Pick<App, "speakChannel" | "store">} app */
  constructor({ speakChannel, store }) {
    this.#channel = speakChannel;
    this.#store = store;
    for (const type of ["started", "sentence", "words", "done", "cancelled", "error"])
      speakChannel.on(type, (message) => this.#receive(message));
    speakChannel.on("binary", (frame) => this.#receiveAudio(frame));
    // A new connection does not know the contexts of an earlier one.
    for (const type of ["lost", "ready"]) speakChannel.on(type, () => this.#loseAll());
  }

  /** True if the server can be asked to speak. */
  get available() {
    return this.#store.state.connection === "online";
  }

  /**
   * Ask the server to speak a take's text from an offset.
   * @param {Take} take
   * @param {{ from?: number, tokensPerSecond?: number | null }} how
   */
  open(take, how = {}) {
    const name = `page-${++this.#count}`;
    const { cost, limits } = /** @type {Ready} */ (this.#store.state.ready);
    const leadMs = cost === "high" ? NEAR_MS : FAR_MS;
    const context = new Context(name, take, { ...how, leadMs }, limits, this.#channel);
    this.#byName.set(name, context);
    context.on("end", () => this.#forget(context));
    context.start();
    return context;
  }

  /** Cancel all contexts. */
  cancelAll() {
    for (const context of [...this.#byName.values()]) context.cancel();
  }

  #loseAll() {
    for (const context of [...this.#byName.values()]) context.end("lost", null);
  }

  #receive(/** @type {any} */ message) {
    const context = this.#byName.get(message.context);
    if (!context) return;
    if (message.type === "started") this.#byHandle.set(message.handle, context);
    context.receive(message);
  }

  /** @param {ArrayBuffer} frame */
  #receiveAudio(frame) {
    this.#byHandle.get(handleOf(frame))?.receiveAudio(samplesOf(frame));
  }

  /** @param {Context} context */
  #forget(context) {
    this.#byName.delete(context.name);
    for (const [handle, one] of this.#byHandle) if (one === context) this.#byHandle.delete(handle);
  }
}

/** Return the handle; `started` maps it to a context. @param {ArrayBuffer} frame */
export function handleOf(frame) {
  return new DataView(frame).getUint16(HANDLE_AT, true);
}

/** Return the samples, without copying them. @param {ArrayBuffer} frame */
export function samplesOf(frame) {
  return new Int16Array(frame, HEADER_BYTES);
}
