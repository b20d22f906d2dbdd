// @ts-check
// Creates a voice from a stored sample.

import { byId } from "../lib/element.js";
import { Notice } from "../lib/notice.js";
import { items } from "./entries.js";
import { idOf, nameOf } from "./names.js";

export class VoiceForm {
  #api;
  #editor;
  #transcript;
  #name = byId("voice-name");
  #notice = new Notice(byId("voice-notice"));
  /** @type {ListedVoice[]} */
  #voices = [];
  /** @type {string | null} */
  made = null; // id of the voice just created

  /** @param {Api} api @param {VoiceSampleEditor} editor @param {Transcript} transcript */
  constructor(api, editor, transcript) {
    this.#api = api;
    this.#editor = editor;
    this.#transcript = transcript;
    this.#name.addEventListener("input", () => {
      this.#notice.clearError();
      this.#showWhetherTaken();
    });
    byId("voice-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#notice.attempt(byId("make-voice"), () => this.#create());
    });
  }

  /** Begin with another sample. @param {string} name */
  begin(name) {
    this.made = null;
    this.#name.value = name;
    this.#notice.say("");
    byId("use-made").hidden = true;
    byId("voice-warnings").replaceChildren();
    this.#showWhetherTaken();
  }

  /** Set the voices whose names are taken. @param {ListedVoice[]} voices */
  set voices(voices) {
    this.#voices = voices;
    this.#showWhetherTaken();
  }

  #showWhetherTaken() {
    const id = idOf(this.#name.value);
    const taken = id !== this.made && this.#voices.some((voice) => voice.id === id);
    byId("voice-name-hint").hidden = !taken;
    byId("make-voice").textContent = taken ? "Replace voice" : "Create voice";
  }

  async #create() {
    const { prompt_id: voiceSample, transcript } = /** @type {VoiceSample} */ (this.#editor.stored);
    const text = this.#transcript.text.trim();
    if (text && text !== transcript) await this.#transcript.save();
    const name = nameOf(this.#name.value);
    const style = byId("voice-style").value.trim();
    const wanted = { voice_id: idOf(name), name, style, audio_prompt: voiceSample };
    const { voice_config: voice, warnings } = await this.#api.send("POST", "voice_mappings", wanted);
    this.#notice.say(`The voice “${voice.name}” is ready and selected.`);
    byId("voice-warnings").replaceChildren(...items(warnings));
    if (this.#editor.id === voiceSample) this.made = voice.voice_id;
    byId("use-made").hidden = this.made === null;
    this.#editor.changed(voice.voice_id);
  }
}
