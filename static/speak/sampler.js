// @ts-check
// Plays the beginning of the text in a voice, for choosing one.

import { Sound } from "../audio/sound.js";

const LONGEST = 160; // characters

export class Sampler {
  #app;
  #sound = new Sound();

  /** @param {import("../app.js").App} app */
  constructor(app) {
    this.#app = app;
    this.#sound.addEventListener("start", () => app.focus.take(this, () => this.stop()));
  }

  /**
   * Play a voice, or stop it.
   * @param {string} voice
   * @param {HTMLButtonElement} button
   */
  async toggle(voice, button) {
    const { store, api, toast } = this.#app;
    const { language, speed } = store.state.settings;
    try {
      await this.#sound.toggle(button, async () =>
        this.#sound.decode(
          await api.bytes("generate", {
            text: beginningOf(store.state.text) || "Hello. This is how I sound.",
            voice_id: voice,
            language,
            speed,
            response_format: "wav",
          }),
        ),
      );
    } catch (error) {
      toast.show(/** @type {Error} */ (error).message, { kind: "error" });
    }
  }

  stop() {
    this.#sound.stop();
  }
}

/** Return the first sentence of a text, or as much of it as is short. @param {string} text */
export function beginningOf(text) {
  const start = text.trim().slice(0, 4 * LONGEST);
  const [first] = new Intl.Segmenter(undefined, { granularity: "sentence" }).segment(start);
  const sentence = first?.segment.trim() ?? "";
  if (sentence.length <= LONGEST) return sentence;
  const cut = sentence.lastIndexOf(" ", LONGEST);
  return sentence.slice(0, cut > 0 ? cut : LONGEST);
}
