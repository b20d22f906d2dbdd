// @ts-check
// The takes that are compared: one of each voice, all of the text there is.

import { Emitter } from "../lib/emitter.js";
import { sameSpeech, speechOf } from "../take/settings.js";

/** Events: "change" (the first sound of a take has arrived, or the last). */
export class ComparedTakes extends Emitter {
  #app;
  /** @type {Map<string, Asked>} by voice */
  #asked = new Map();

  /** @param {App} app */
  constructor(app) {
    super();
    this.#app = app;
  }

  /** Return the latest take of a voice; null if there is none. @param {string} voice */
  of(voice) {
    return this.#asked.get(voice)?.take ?? null;
  }

  /** Drop the takes of other voices and cancel their contexts. @param {string[]} voices */
  keepOnly(voices) {
    for (const [voice, { take, context }] of [...this.#asked]) {
      if (voices.includes(voice)) continue;
      if (this.#app.player.take === take) this.#app.speaker.pause();
      context.cancel();
      this.#asked.delete(voice);
    }
  }

  /**
   * Return the take of a voice, asking the server for it if there is none of this text.
   * @param {string} voice
   * @returns {Asked}
   */
  ask(voice) {
    const { text, settings, ready } = this.#app.store.state;
    const speech = { ...speechOf(settings, ready?.options ?? []), voice };
    const known = this.#asked.get(voice);
    const fits = known && known.take.text === text && !known.take.mixed && sameSpeech(known.take.settings, speech);
    if (known && fits && (known.take.length || !known.context.ended)) return known;
    const asked = this.#open(this.#app.speaker.prepare(text, speech));
    known?.context.cancel();
    this.#asked.set(voice, asked);
    return asked;
  }

  /** @param {Take} take @returns {Asked} */
  #open(take) {
    const { contexts, toast } = this.#app;
    take.metrics.clicked = performance.now();
    const context = contexts.open(take);
    context.on("sound", () => this.emit("change"));
    context.on("end", ({ how, message }) => how === "error" && toast.show(message, { kind: "error" }));
    take.on("end", () => this.emit("change"));
    return { take, context };
  }
}
