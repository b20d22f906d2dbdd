// @ts-check
// The list of voice samples: open, delete.

import { byId } from "../lib/element.js";
import { Notice } from "../lib/notice.js";
import { UserError } from "../lib/user-error.js";
import { entry, fill } from "./entries.js";
import { metadataOf, pathOf } from "./paths.js";
import { ask, button } from "./question.js";

export class SampleList {
  #api;
  #sound;
  #sample;
  #refresh;
  /** @type {ListedVoice[]} */
  #voices = [];
  #list = byId("sample-list");
  #notice = new Notice(byId("sample-list-notice"));

  /**
   * @param {Api} api
   * @param {Sound} sound
   * @param {Sample} sample the one being edited
   * @param {() => Promise<void>} refresh reads the lists anew
   */
  constructor(api, sound, sample, refresh) {
    this.#api = api;
    this.#sound = sound;
    this.#sample = sample;
    this.#refresh = refresh;
  }

  /** @param {VoiceSample[]} samples @param {ListedVoice[]} voices that may use them */
  show(samples, voices) {
    this.#voices = voices;
    fill(this.#list, samples.map((sample) => this.#entry(sample)), this.#sound);
    byId("no-samples").hidden = samples.length > 0;
  }

  /**
   * Delete a sample. Throw a UserError if voices use it, unless it is forced.
   * @param {string} id
   * @param {"" | "?force=true"} query
   */
  async delete(id, query = "") {
    const { message } = await this.#api.send("DELETE", `${pathOf(id)}${query}`);
    if (this.#sample.id === id) {
      this.#sound.stop();
      this.#sample.close();
    }
    await this.#refresh();
    this.#notice.say(message);
  }

  /** @param {VoiceSample} sample */
  #entry({ prompt_id: id, duration, transcript, exists }) {
    const open = button("Open", id);
    open.addEventListener("click", () => this.#notice.attempt(open, () => this.#open(id)));
    const remove = button("Delete", id);
    remove.addEventListener("click", () => this.#ask(item, id));
    const facts = `${duration.toFixed(1)} s, ${transcript ? "with a transcript" : "no transcript"}`;
    const item = entry(id, id, facts, exists ? [] : ["The file is missing; upload it again."], [open, remove]);
    return item;
  }

  /** @param {string} id */
  async #open(id) {
    this.#sample.open(await this.#api.get(metadataOf(id)));
    this.#notice.say("");
    byId("sample-title").focus();
  }

  /** @param {HTMLElement} item @param {string} id */
  #ask(item, id) {
    const remove = async () => {
      try {
        await this.delete(id);
        byId("sample-list-title").focus();
      } catch (error) {
        if (!inUse(error)) throw error;
        await this.#refresh();
        this.#askAgain(id, error);
      }
    };
    ask(item, `Delete the sample “${id}”?`, { Delete: remove }, this.#notice);
  }

  /**
   * Name the voices that use the sample; without it they speak with a built-in voice.
   * @param {string} id
   * @param {UserError} error
   */
  #askAgain(id, { message }) {
    const users = this.#voices.filter((voice) => voice.audio_prompt === id).map(({ name }) => `“${name}”`);
    const item = /** @type {HTMLElement[]} */ ([...this.#list.children]).find((one) => one.dataset.key === id);
    if (!users.length || !item) throw new UserError(message);
    const question = `The sample “${id}” is in use by ${users.join(", ")}, which will sound different without it.`;
    const remove = async () => {
      await this.delete(id, "?force=true");
      byId("sample-list-title").focus();
    };
    ask(item, question, { "Delete anyway": remove }, this.#notice);
  }
}

/** @param {unknown} error @returns {error is UserError} */
export function inUse(error) {
  return error instanceof UserError && error.code === "in_use";
}
