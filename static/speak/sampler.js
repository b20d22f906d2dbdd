// @ts-check
// Plays the beginning of the text in a voice, for choosing one.

import { Sound } from "../audio/sound.js";
import { beginningOf } from "../take/beginning.js";
import { generateBody, speechOf } from "../take/settings.js";

const GREETING = "Hello. This is how I sound."; // where there is no text

export class Sampler {
  #app;
  #sound;

  /** @param {App} app */
  constructor(app) {
    this.#app = app;
    this.#sound = new Sound(app.focus);
  }

  /**
   * Play a voice, or stop it.
   * @param {string} voice
   * @param {HTMLButtonElement} button
   */
  async toggle(voice, button) {
    const { store, api, toast } = this.#app;
    const { settings, ready, text } = store.state;
    const speech = { ...speechOf(settings, ready?.options ?? []), voice };
    const body = generateBody(beginningOf(text) || GREETING, speech, "wav");
    try {
      await this.#sound.toggle(button, async () => this.#sound.decode(await api.bytes("generate", body)));
    } catch (error) {
      toast.show(/** @type {Error} */ (error).message, { kind: "error" });
    }
  }
}
