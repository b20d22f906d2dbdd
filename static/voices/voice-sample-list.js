// @ts-check
// The list of voice samples: open, delete.

import { byId } from "../lib/element.js";
import { UserError } from "../lib/user-error.js";
import { EntryList, entry } from "./entries.js";
import { metadataOf, pathOf } from "./names.js";
import { button } from "./question.js";

export class VoiceSampleList extends EntryList {
  #api;
  #editor;
  #refresh;
  /** @type {ListedVoice[]} */
  #voices = [];

  /**
   * @param {Api} api
   * @param {Sound} sound
   * @param {VoiceSampleEditor} editor
   * @param {() => Promise<void>} refresh reads the lists anew
   */
  constructor(api, sound, editor, refresh) {
    super("sample-list", sound);
    this.#api = api;
    this.#editor = editor;
    this.#refresh = refresh;
  }

  /** @param {VoiceSample[]} voiceSamples @param {ListedVoice[]} voices that may use them */
  show(voiceSamples, voices) {
    this.#voices = voices;
    this.fill(voiceSamples.map((voiceSample) => this.#entry(voiceSample)));
    byId("no-samples").hidden = voiceSamples.length > 0;
  }

  /**
   * Delete a voice sample. Throw a UserError if voices use it, unless it is forced.
   * @param {string} id
   * @param {"" | "?force=true"} query
   */
  async delete(id, query = "") {
    const { message } = await this.#api.send("DELETE", `${pathOf(id)}${query}`);
    if (this.#editor.id === id) {
      this.sound.stop();
      this.#editor.close();
    }
    await this.#refresh();
    this.notice.say(message);
  }

  /** @param {VoiceSample} voiceSample */
  #entry({ prompt_id: id, duration, transcript, exists }) {
    const open = button("Open", id);
    open.addEventListener("click", () => this.notice.attempt(open, () => this.#open(id)));
    const remove = this.deletion(id, `Delete the voice sample “${id}”?`, { Delete: () => this.#delete(id) });
    return entry({
      key: id,
      name: id,
      facts: `${duration.toFixed(1)} s, ${transcript ? "with a transcript" : "no transcript"}`,
      warnings: exists ? [] : ["The file is missing; upload it again."],
      actions: [open, remove],
    });
  }

  /** @param {string} id */
  async #open(id) {
    this.#editor.open(await this.#api.get(metadataOf(id)));
    this.notice.say("");
    byId("sample-title").focus();
  }

  /** Delete a voice sample; ask again if voices use it. @param {string} id */
  async #delete(id) {
    try {
      await this.delete(id);
      this.title.focus();
    } catch (error) {
      if (!inUse(error)) throw error;
      await this.#refresh();
      this.#askAgain(id, error);
    }
  }

  /**
   * Name the voices that use the voice sample; without it they speak with a built-in voice.
   * @param {string} id
   * @param {UserError} error
   */
  #askAgain(id, { message }) {
    const users = this.#voices.filter((voice) => voice.audio_prompt === id).map(({ name }) => `“${name}”`);
    const item = this.find(id);
    if (!users.length || !item) throw new UserError(message);
    const question = `The sample “${id}” is in use by ${users.join(", ")}, which will sound different without it.`;
    const remove = async () => {
      await this.delete(id, "?force=true");
      this.title.focus();
    };
    this.ask(item, question, { "Delete anyway": remove });
  }
}

/** @param {unknown} error @returns {error is UserError} */
export function inUse(error) {
  return error instanceof UserError && error.code === "in_use";
}
