// @ts-check
// One context on the server, which fills a take from an offset of its text on.

import { Emitter } from "../lib/emitter.js";
import { piecesOf, tokensOf } from "./pieces.js";

/** Events: "sound" (the first), "end" with { how } and the fields of the server's last message, if it sent one. */
export class Context extends Emitter {
  #how;
  #limits;
  #channel;
  /** @type {Timer | undefined} */
  #timer;
  #ended = false;
  #sounded = false;

  /**
   * @param {string} name
   * @param {Take} take
   * @param {{ from?: number, leadMs: number, tokensPerSecond?: number | null }} how
   *   leadMs: how far ahead of real time the sound may come
   * @param {{ text_characters: number, message_bytes: number, messages_per_second: number }} limits
   * @param {Channel} channel
   */
  constructor(name, take, how, limits, channel) {
    super();
    this.name = name;
    this.take = take;
    this.#how = how;
    this.#limits = limits;
    this.#channel = channel;
    this.base = 0; // the take's sample at which its sound begins
  }

  /** The offset of the text from which it speaks. */
  get from() {
    return this.#how.from ?? 0;
  }

  get ended() {
    return this.#ended;
  }

  start() {
    const { take, from } = this;
    take.metrics.sent ??= performance.now();
    if (this.#how.tokensPerSecond) take.metrics.tokens ??= this.#how.tokensPerSecond;
    take.begin(from);
    this.base = take.length;
    const { voice, language, speed, pitch, options } = take.settings;
    this.#send("start", {
      voice,
      language,
      speed,
      ...(pitch !== 1 && { pitch }),
      ...options,
      sample_rate: take.rate,
      words: true,
      max_lead_ms: this.#how.leadMs,
    });
    const text = take.text.slice(take.points.toUnits(from));
    if (this.#how.tokensPerSecond) this.#sendTokens(text, this.#how.tokensPerSecond);
    else this.#sendWhole(text);
  }

  /** Report the playback position, by which the server paces the sound. @param {number} position sample of the take */
  reportPlayed(position) {
    if (!this.#ended) this.#send("played", { samples: Math.max(0, Math.floor(position) - this.base) });
  }

  cancel() {
    if (this.#ended) return;
    this.#channel.drop((message) => message.context === this.name);
    this.#send("cancel");
    this.end("cancelled", null);
  }

  /** @param {any} message of the server */
  receive(message) {
    const { take } = this;
    if (message.type === "sentence") take.addSentence(message);
    else if (message.type === "words") take.addWords(message.words);
    else if (message.type === "done") this.end("done", message);
    else if (message.type === "cancelled") this.end("cancelled", message);
    else if (message.type === "error") this.end("error", message);
  }

  /** @param {Int16Array} samples */
  receiveAudio(samples) {
    this.take.append(samples);
    if (this.#sounded) return;
    this.#sounded = true;
    this.take.metrics.arrived ??= performance.now();
    this.emit("sound", null);
  }

  /** @param {Ending} how @param {any} message the server's, if it sent one */
  end(how, message) {
    if (this.#ended) return;
    this.#ended = true;
    clearTimeout(this.#timer);
    if (how === "done" && this.from === 0) Object.assign(this.take.metrics, message.metrics);
    this.emit("end", { how, ...message });
    if (how === "done") this.take.finish();
    else this.take.breakOff();
  }

  /** @param {string} text */
  #sendWhole(text) {
    for (const piece of piecesOf(text, this.#limits)) this.#send("text", { text: piece });
    this.#send("finish");
  }

  /**
   * Send pieces of words at a steady rate, several at once where the server's message rate is lower.
   * @param {string} text
   * @param {number} perSecond
   */
  #sendTokens(text, perSecond) {
    const tokens = tokensOf(text);
    const everyMs = 1000 / Math.min(perSecond, this.#limits.messages_per_second / 2);
    const began = performance.now();
    let sent = 0;
    const send = () => {
      const due = Math.min(tokens.length, 1 + Math.floor(((performance.now() - began) / 1000) * perSecond));
      for (const piece of piecesOf(tokens.slice(sent, due).join(""), this.#limits)) this.#send("text", { text: piece });
      sent = due;
      if (sent < tokens.length) this.#timer = setTimeout(send, everyMs);
      else this.#send("finish");
    };
    send();
  }

  #send(/** @type {string} */ type, fields = {}) {
    this.#channel.send({ type, context: this.name, ...fields });
  }
}
