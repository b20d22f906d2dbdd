// @ts-check
// The voice sample being edited: a local file until its upload, then a stored sample to create a voice from.

import { byId } from "../lib/element.js";
import { Emitter } from "../lib/emitter.js";
import { languageName } from "../lib/languages.js";
import { Notice } from "../lib/notice.js";
import { fileOf } from "./cut.js";
import { items } from "./entries.js";
import { freeName, metadataOf, nameOf, pathOf } from "./names.js";
import { Transcript } from "./transcript.js";
import { Trim } from "./trim.js";
import { Upload, megabytes } from "./upload.js";
import { VoiceForm } from "./voice-form.js";
import { RecordingWaveform, heightsOf } from "./waveform.js";

const SHOWN_BYTES = 16 * 2 ** 20; // a larger file may not fit into memory when decoded

/** Events: "changed" { chosen }, when voices or samples have changed; chosen: id of the voice to select, or null. */
export class VoiceSampleEditor extends Emitter {
  #api;
  #sound;
  #name = byId("sample-name");
  #waveform = new RecordingWaveform(byId("waveform"));
  #notice = new Notice(byId("sample-notice"));
  #trim = new Trim();
  #upload;
  #transcript;
  #voiceForm;
  /** @type {Record<string, VoiceSample>} */
  #samples = {}; // stored samples, by id
  /** @type {File | null} */
  #file = null; // to upload
  /** The metadata of a stored sample. @type {VoiceSample | null} */
  stored = null;
  /** @type {AudioBuffer | null} */
  #buffer = null; // the decoded audio

  /** @param {Api} api @param {Sound} sound */
  constructor(api, sound) {
    super();
    this.#api = api;
    this.#sound = sound;
    this.#upload = new Upload(api, this.#notice);
    this.#transcript = new Transcript(api, this, this.#notice);
    this.#voiceForm = new VoiceForm(api, this, this.#transcript);
    this.#trim.on("change", () => this.#showPart());
    byId("sample-play").addEventListener("click", () => this.#play());
    this.#name.addEventListener("input", () => {
      this.#notice.clearError();
      this.#showWhetherTaken();
    });
    byId("upload-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#notice.attempt(byId("upload"), () => this.#send());
    });
  }

  get id() {
    return this.stored?.prompt_id ?? null;
  }

  /** The id of the voice just created from it, or null. */
  get made() {
    return this.#voiceForm.made;
  }

  /** Show a file that is not uploaded yet. @param {File} file */
  async draft(file) {
    this.#begin("New voice sample");
    this.#transcript.begin("", "Optional; you can add it later.");
    this.#file = file;
    this.#name.value = freeName(file.name, this.#samples);
    byId("sample-facts").textContent = megabytes(file.size);
    this.#showWhetherTaken();
    if (file.size > SHOWN_BYTES) {
      byId("sample-play").disabled = true;
      this.#notice.say("The file is too large for a preview; you can play it after the upload.");
      return;
    }
    try {
      const buffer = await this.#sound.decode(await file.arrayBuffer());
      if (this.#file !== file) return;
      this.#buffer = buffer;
      this.#waveform.show(heightsOf(buffer));
      this.#trim.show(buffer.duration);
    } catch (error) {
      if (this.#file !== file) return;
      byId("sample-play").disabled = true;
      this.#notice.showError(error);
    }
  }

  /** Show a stored sample. @param {VoiceSample} stored */
  open(stored) {
    this.#begin(`Sample “${stored.prompt_id}”`);
    this.#transcript.begin(stored.transcript ?? "");
    this.#voiceForm.begin(stored.prompt_id);
    this.show(stored);
    this.#transcript.watch();
  }

  close() {
    this.#upload.cancel();
    this.#file = this.stored = this.#buffer = null;
    this.#transcript.begin("");
    this.#voiceForm.begin("");
    byId("sample").hidden = true;
  }

  /**
   * Set the stored samples and voices; their names are taken.
   * @param {Record<string, VoiceSample>} samples
   * @param {ListedVoice[]} voices
   */
  setKnown(samples, voices) {
    this.#samples = samples;
    this.#voiceForm.voices = voices;
    this.#showWhetherTaken();
  }

  /** Show the stored sample. @param {VoiceSample} stored */
  show(stored) {
    this.stored = stored;
    this.#waveform.show(stored.waveform);
    const { duration, original_format: format, original_sample_rate: rate, language } = stored;
    const facts = [seconds(duration), `${format} at ${rate} Hz`];
    if (language) facts.push(`${languageName(language)}, ${Math.round(100 * stored.language_probability)} % sure`);
    byId("sample-facts").textContent = facts.join(", ");
    byId("sample-warnings").replaceChildren(...items(stored.warnings));
    byId("upload-form").hidden = true;
    byId("stored").hidden = false;
  }

  /** Report that voices or samples have changed. @param {string | null} chosen id of the voice to select */
  changed(chosen = null) {
    this.emit("changed", { chosen });
  }

  /** @param {string} title */
  #begin(title) {
    this.#sound.stopWithin(byId("sample")); // other previews play on
    this.close();
    byId("sample-title").textContent = title;
    byId("sample-facts").textContent = "";
    byId("sample-play").disabled = false;
    this.#waveform.show([]);
    this.#trim.hide();
    this.#notice.say("");
    byId("upload-form").hidden = false;
    byId("stored").hidden = true;
    byId("sample-warnings").replaceChildren();
    byId("sample").hidden = false;
  }

  #showWhetherTaken() {
    const taken = Object.hasOwn(this.#samples, nameOf(this.#name.value));
    byId("sample-name-hint").hidden = !taken;
    byId("upload").textContent = taken ? "Replace" : "Upload";
  }

  #showPart() {
    if (!this.#buffer || !this.#file) return;
    const { duration } = this.#buffer;
    const [from, to] = this.#trim.part;
    this.#waveform.keep(from / duration, to / duration);
    const length = this.#trim.whole ? seconds(duration) : `${seconds(to - from)} of ${seconds(duration)}`;
    byId("sample-facts").textContent = `${length}, ${megabytes(this.#file.size)}`;
  }

  async #play() {
    try {
      const moved = (/** @type {number | null} */ position) => this.#waveform.move(position);
      await this.#sound.toggle(byId("sample-play"), () => this.#load(), moved, () => this.#trim.part);
    } catch (error) {
      this.#notice.showError(error);
    }
  }

  async #load() {
    if (this.#buffer) return this.#buffer;
    const stored = /** @type {VoiceSample} */ (this.stored);
    const buffer = await this.#sound.decode(await this.#api.bytes(`${pathOf(stored.prompt_id)}/audio`));
    if (this.stored === stored) this.#buffer = buffer;
    return buffer;
  }

  async #send() {
    const file = /** @type {File} */ (this.#file);
    const part = this.#buffer && !this.#trim.whole ? fileOf(this.#buffer, ...this.#trim.part, file.name) : file;
    try {
      const answer = await this.#upload.send(part, nameOf(this.#name.value), this.#transcript.text);
      this.changed();
      const stored = await this.#api.get(metadataOf(answer.prompt_id));
      if (this.#file === file) this.#uploaded(stored, answer.message);
    } catch (error) {
      if (this.#file === file) throw error; // otherwise, another sample was opened
    }
  }

  /** @param {VoiceSample} stored @param {string} message */
  #uploaded(stored, message) {
    this.#file = this.#buffer = null;
    this.#trim.hide();
    this.#sound.stopWithin(byId("sample"));
    byId("sample-title").textContent = `Sample “${stored.prompt_id}”`;
    this.#voiceForm.begin(stored.prompt_id);
    this.show(stored);
    this.#notice.say(`${message} You can now create a voice from it.`);
    byId("sample-title").focus();
    this.#transcript.watch();
  }
}

/** @param {number} time */
function seconds(time) {
  return `${time.toFixed(1)} s`;
}
