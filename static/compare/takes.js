// @ts-check
// The takes that are compared: one of each voice, all of the text there is.

import { sameSpeech, speechOf } from "../take/settings.js";

/** @typedef {import("../take/take.js").Take} Take */
/** @typedef {{ take: Take, context: import("../speech/context.js").Context }} Asked a take, and what fills it first */

/** Events: "change" (the first sound of a take has arrived, or the last). */
export class ComparedTakes extends EventTarget {
  #app;
  /** @type {Map<string, Asked>} by voice */
  #asked = new Map();

  /** @param {import("../app.js").App} app */
  constructor(app) {
    super();
    this.#app = app;
  }

  /** Return the latest take of a voice; null if there is none. @param {string} voice */
  of(voice) {
    return this.#asked.get(voice)?.take ?? null;
  }

  /** Drop the takes of other voices, and cancel what still fills them. @param {string[]} voices */
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

  /**
   * @param {Take} take
   * @returns {Asked}
   */
  #open(take) {
    const { contexts, toast } = this.#app;
    take.metrics.clicked = take.metrics.sent = performance.now();
    const context = contexts.open(take);
    context.addEventListener("sound", () => {
      take.metrics.arrived ??= performance.now();
      this.#tell();
    });
    context.addEventListener("end", ({ detail }) => {
      if (detail.metrics) Object.assign(take.metrics, detail.metrics);
      if (detail.how === "error") toast.show(detail.message, { kind: "error" });
    });
    take.addEventListener("end", () => this.#tell());
    return { take, context };
  }

  #tell() {
    this.dispatchEvent(new Event("change"));
  }
}
