// @ts-check
// Plays the beginning of the text in a voice, for choosing one.

import { Sound } from "../audio/sound.js";
import { beginningOf } from "../take/beginning.js";
import { generateBody, speechOf } from "../take/settings.js";

const GREETING = "Hello. This is how I sound."; // where there is no text

/**
 * Return the voices to pick from, which can be heard before.
 * @param {App} app
 * @returns {Pick<Picking, "choices" | "preview">}
 */
export function voiceChoices({ store, voicePreview }) {
  return {
    choices: store.state.voices.map(({ id, name, style }) => ({ id, name, about: style })),
    preview: ({ id }, button) => voicePreview.toggle(id, button),
  };
}

export class VoicePreview {
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
      await this.#sound.toggle(button, () => api.bytes("generate", body));
    } catch (error) {
      toast.show(/** @type {Error} */ (error).message, { kind: "error" });
    }
  }
}
