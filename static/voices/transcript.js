// @ts-check
// The transcript of a voice sample: typed, or written by Whisper.

import { byId } from "../lib/element.js";
import { metadataOf, pathOf } from "./names.js";

const POLL_MS = 1000;
const TRANSCRIBING = "Transcribing…";

export class Transcript {
  #api;
  #editor;
  #notice;
  #box = byId("said");
  /** @type {object | null} */
  #polling = null; // identifies the wait for Whisper

  /**
   * @param {Api} api
   * @param {VoiceSampleEditor} editor of the voice sample that it belongs to
   * @param {Notice} notice
   */
  constructor(api, editor, notice) {
    this.#api = api;
    this.#editor = editor;
    this.#notice = notice;
    this.#box.addEventListener("input", () => notice.clearError());
    byId("save-transcript").addEventListener("click", () => notice.attempt(byId("save-transcript"), () => this.save()));
    byId("transcribe").addEventListener("click", () => notice.attempt(byId("transcribe"), () => this.#transcribe()));
  }

  get text() {
    return this.#box.value;
  }

  /**
   * Show the transcript of another sample.
   * @param {string} text
   * @param {string} placeholder
   */
  begin(text, placeholder = "") {
    this.#polling = null;
    this.#box.value = text;
    this.#box.placeholder = placeholder;
  }

  async save() {
    const path = `${pathOf(this.#stored.prompt_id)}/transcript`;
    const answer = await this.#api.send("PUT", path, { transcript: this.text });
    this.#box.value = answer.transcript;
    await this.#reload(answer.prompt_id);
    this.#notice.say(answer.message);
    this.#editor.changed();
  }

  /** Wait for the transcript if Whisper writes one by itself; show whether Whisper is available. */
  async watch() {
    const id = this.#stored.prompt_id;
    this.#box.placeholder = "";
    try {
      const { available, reason } = await this.#api.get("whisper/status");
      if (this.#editor.id !== id) return;
      byId("transcribe").hidden = !available;
      byId("whisper-hint").textContent = reason ? `${reason} You can type the transcript yourself.` : "";
      if (available && !isSettled(this.#stored)) await this.#poll(id);
    } catch (error) {
      if (this.#editor.id === id) this.#notice.showError(error);
    }
  }

  get #stored() {
    return /** @type {VoiceSample} */ (this.#editor.stored);
  }

  async #transcribe() {
    const before = this.text;
    this.#notice.say(TRANSCRIBING);
    const path = `${pathOf(this.#stored.prompt_id)}/transcribe`;
    const { prompt_id: id, heard, replaced } = await this.#api.send("POST", path);
    if (this.#editor.id !== id) return;
    await this.#reload(id);
    if (this.text === before) this.#box.value = heard;
    const kept = "Whisper's transcript is shown but not saved; save it if it is better than the current one.";
    this.#notice.say(replaced ? "Transcribed by Whisper; check the transcript." : kept);
    this.#editor.changed();
  }

  /** @param {string} id */
  async #reload(id) {
    const stored = await this.#api.get(metadataOf(id));
    if (this.#editor.id === id) this.#editor.show(stored);
  }

  /**
   * Poll until the outcome is known, or until Whisper has been idle long enough to have stored it.
   * @param {string} id
   */
  async #poll(id) {
    const mine = (this.#polling = {});
    try {
      await this.#pollAs(mine, id);
    } finally {
      if (this.#polling === mine) {
        this.#polling = null;
        this.#box.placeholder = "";
      }
    }
  }

  /**
   * @param {object} mine ends when another wait replaces it
   * @param {string} id
   */
  async #pollAs(mine, id) {
    let stored = this.#stored;
    for (let idle = 0; idle < 2 && !isSettled(stored); ) {
      await new Promise((passed) => setTimeout(passed, POLL_MS));
      if (this.#polling !== mine) return;
      const { busy, waiting } = await this.#api.get("whisper/status");
      stored = await this.#api.get(metadataOf(id));
      if (this.#polling !== mine) return;
      idle = busy || waiting ? 0 : idle + 1;
      this.#box.placeholder = idle ? "" : TRANSCRIBING;
    }
    this.#editor.show(stored);
    if (!this.text) this.#box.value = stored.transcript ?? "";
    this.#editor.changed();
  }
}

/** True if there is a transcript or a reason for its absence. @param {VoiceSample} stored */
function isSettled({ transcript, transcript_findings: findings }) {
  return transcript !== null || findings.length > 0;
}
