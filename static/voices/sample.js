// @ts-check
// The voice sample being edited: a local file until its upload, then a stored sample to create a voice from.

import { byId } from "../lib/element.js";
import { languageName } from "../lib/languages.js";
import { Notice } from "../lib/notice.js";
import { fileOf, within } from "./cut.js";
import { items } from "./entry.js";
import { freeName, idOf, nameOf } from "./names.js";
import { Waveform, heightsOf } from "./waveform.js";

const SHOWN_BYTES = 16 * 2 ** 20; // a larger file may not fit into memory when decoded
const TRIM_STEP_S = 0.05; // as in the page
const LISTEN_EVERY_MS = 1000;
const LISTENING = "Transcribing…";

const input = (/** @type {string} */ id) => /** @type {HTMLInputElement} */ (byId(id));
const button = (/** @type {string} */ id) => /** @type {HTMLButtonElement} */ (byId(id));

/** @typedef {import("./lists.js").VoiceSample} VoiceSample */
/** @typedef {import("./lists.js").Voice} Voice */

/** Events: "changed" { chosen }, when voices or samples have changed; chosen: id of the voice to select, or null. */
export class Sample extends EventTarget {
  #api;
  #sound;
  #said = /** @type {HTMLTextAreaElement} */ (byId("said"));
  #waveform = new Waveform(/** @type {HTMLCanvasElement} */ (byId("waveform")));
  #notice = new Notice(byId("sample-notice"));
  #voiceNotice = new Notice(byId("voice-notice"));
  /** @type {Record<string, VoiceSample>} */
  #samples = {}; // stored samples, by id
  /** @type {Voice[]} */
  #voices = [];
  /** @type {File | null} */
  #file = null; // to upload
  /** @type {VoiceSample | null} */
  #stored = null; // the metadata of a stored sample
  /** @type {AudioBuffer | null} */
  #buffer = null; // its decoded audio
  /** @type {[number, number]} */
  #part = [0, Infinity]; // what is played and, of a file, uploaded; in seconds
  /** @type {AbortController | null} */
  #upload = null;
  /** @type {object | null} */
  #listening = null; // identifies the wait for Whisper
  /** @type {string | null} */
  made = null; // id of the voice just created from it

  /**
   * @param {import("../lib/api.js").Api} api
   * @param {import("../audio/sound.js").Sound} sound
   */
  constructor(api, sound) {
    super();
    this.#api = api;
    this.#sound = sound;
    byId("sample-play").addEventListener("click", () => this.#play());
    byId("sample-name").addEventListener("input", () => this.#hint(this.#notice));
    byId("voice-name").addEventListener("input", () => this.#hint(this.#voiceNotice));
    byId("said").addEventListener("input", () => this.#notice.forgive());
    byId("trim-from").addEventListener("input", () => this.#trim("from"));
    byId("trim-to").addEventListener("input", () => this.#trim("to"));
    byId("cancel-upload").addEventListener("click", () => this.#upload?.abort());
    this.#onClick("save-transcript", () => this.#save());
    this.#onClick("transcribe", () => this.#transcribe());
    byId("upload-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#notice.attempt(button("upload"), () => this.#send());
    });
    byId("voice-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#voiceNotice.attempt(button("make-voice"), () => this.#makeVoice());
    });
  }

  /**
   * @param {string} id of a button
   * @param {() => Promise<void>} act
   */
  #onClick(id, act) {
    byId(id).addEventListener("click", () => this.#notice.attempt(button(id), act));
  }

  get id() {
    return this.#stored?.prompt_id ?? null;
  }

  /**
   * Show a file that is not uploaded yet.
   * @param {File} file
   */
  async draft(file) {
    this.#begin("New voice sample", "");
    this.#said.placeholder = "Optional; you can add it later.";
    this.#file = file;
    input("sample-name").value = freeName(file.name, this.#samples);
    byId("sample-facts").textContent = megabytes(file.size);
    this.#hint();
    if (file.size > SHOWN_BYTES) {
      button("sample-play").disabled = true;
      this.#notice.say("The file is too large for a preview; you can play it after the upload.");
      return;
    }
    try {
      const buffer = await this.#sound.decode(await file.arrayBuffer());
      if (this.#file !== file) return;
      this.#buffer = buffer;
      this.#waveform.show(heightsOf(buffer));
      this.#offerTrim(buffer.duration);
    } catch (error) {
      if (this.#file !== file) return;
      button("sample-play").disabled = true;
      this.#notice.showError(error);
    }
  }

  /**
   * Show a stored sample.
   * @param {VoiceSample} stored
   */
  open(stored) {
    this.#begin(`Sample “${stored.prompt_id}”`, stored.transcript ?? "");
    input("voice-name").value = stored.prompt_id;
    this.#show(stored);
    this.#hint();
    this.#lookAtWhisper(stored.prompt_id);
  }

  close() {
    this.#upload?.abort();
    this.#file = this.#stored = this.#buffer = this.made = this.#listening = null;
    byId("sample").hidden = true;
  }

  /**
   * Set the stored samples and voices, whose names are taken.
   * @param {Record<string, VoiceSample>} samples
   * @param {Voice[]} voices
   */
  setKnown(samples, voices) {
    this.#samples = samples;
    this.#voices = voices;
    this.#hint();
  }

  /**
   * @param {string} title
   * @param {string} said
   */
  #begin(title, said) {
    this.#sound.stopWithin(byId("sample")); // a preview that was started to end a recording plays on
    this.close();
    byId("sample-title").textContent = title;
    byId("sample-facts").textContent = "";
    button("sample-play").disabled = false;
    this.#said.value = said;
    this.#said.placeholder = "";
    this.#waveform.show([]);
    this.#part = [0, Infinity];
    this.#notice.say("");
    this.#voiceNotice.say("");
    byId("upload-form").hidden = false;
    byId("stored").hidden = byId("trim").hidden = byId("use-made").hidden = true;
    byId("sample-warnings").replaceChildren();
    byId("voice-warnings").replaceChildren();
    byId("sample").hidden = false;
  }

  /** @param {VoiceSample} stored */
  #show(stored) {
    this.#stored = stored;
    this.#waveform.show(stored.waveform);
    const { duration, original_format: format, original_sample_rate: rate, language } = stored;
    const facts = [seconds(duration), `${format} at ${rate} Hz`];
    if (language) facts.push(`${languageName(language)}, ${Math.round(100 * stored.language_probability)} % sure`);
    byId("sample-facts").textContent = facts.join(", ");
    byId("sample-warnings").replaceChildren(...items(stored.warnings));
    byId("upload-form").hidden = true;
    byId("stored").hidden = false;
  }

  /**
   * Show which names are taken.
   * @param {Notice | null} mended the notice whose error may be out of date
   */
  #hint(mended = null) {
    mended?.forgive();
    const replaces = Object.hasOwn(this.#samples, nameOf(input("sample-name").value));
    byId("sample-name-hint").hidden = !replaces;
    byId("upload").textContent = replaces ? "Replace" : "Upload";
    const voice = idOf(input("voice-name").value);
    const known = voice !== this.made && this.#voices.some(({ id }) => id === voice);
    byId("voice-name-hint").hidden = !known;
    byId("make-voice").textContent = known ? "Replace voice" : "Create voice";
  }

  // Trimming.

  /**
   * Show the ends of the part to keep, which can be moved before the upload.
   * @param {number} duration
   */
  #offerTrim(duration) {
    const most = TRIM_STEP_S * Math.ceil(duration / TRIM_STEP_S);
    for (const end of ["from", "to"]) input(`trim-${end}`).max = String(most);
    input("trim-from").value = "0";
    input("trim-to").value = String(most);
    byId("trim").hidden = false;
    this.#trim("to");
  }

  /** @param {"from" | "to"} moved */
  #trim(moved) {
    if (!this.#buffer || !this.#file) return;
    const { duration } = this.#buffer;
    const [from, to] = within(Number(input("trim-from").value), Number(input("trim-to").value), duration, moved);
    this.#part = [from, to];
    for (const [end, at] of /** @type {[string, number][]} */ ([["from", from], ["to", to]])) {
      input(`trim-${end}`).value = String(at);
      input(`trim-${end}`).setAttribute("aria-valuetext", seconds(at));
      byId(`trim-${end}-time`).textContent = seconds(at);
    }
    this.#waveform.keep(from / duration, to / duration);
    const length = this.#whole ? seconds(duration) : `${seconds(to - from)} of ${seconds(duration)}`;
    byId("sample-facts").textContent = `${length}, ${megabytes(this.#file.size)}`;
  }

  // True if nothing is cut off.
  get #whole() {
    return !this.#buffer || this.#part[1] - this.#part[0] > this.#buffer.duration - TRIM_STEP_S / 2;
  }

  // Playing.

  async #play() {
    try {
      const moved = (/** @type {number | null} */ heard) => this.#waveform.move(heard);
      await this.#sound.toggle(button("sample-play"), () => this.#load(), moved, () => this.#part);
    } catch (error) {
      this.#notice.showError(error);
    }
  }

  async #load() {
    if (this.#buffer) return this.#buffer;
    const stored = /** @type {VoiceSample} */ (this.#stored);
    const buffer = await this.#sound.decode(await this.#api.bytes(`${pathOf(stored)}/audio`));
    if (this.#stored === stored) this.#buffer = buffer;
    return buffer;
  }

  // Uploading.

  async #send() {
    const file = /** @type {File} */ (this.#file);
    const sent = this.#buffer && !this.#whole ? fileOf(this.#buffer, ...this.#part, file.name) : file;
    const form = new FormData(); // fields first, as the server reads the form in order
    form.append("prompt_id", nameOf(input("sample-name").value));
    form.append("transcript", this.#said.value);
    form.append("audio_file", sent, sent.name);
    const upload = this.#upload = new AbortController();
    const { signal } = upload;
    byId("cancel-upload").hidden = byId("upload-progress").hidden = false;
    this.#progress(0, sent.size);
    this.#notice.say("Uploading…");
    try {
      const answer = await this.#api.upload("audio_prompts/upload", form, { progress: this.#progress, signal });
      this.#changed();
      const stored = await this.#api.get(metadataOf(answer.prompt_id));
      if (this.#file === file) this.#uploaded(stored, answer.message);
    } catch (error) {
      if (this.#file === file) throw error; // otherwise, another sample was opened
    } finally {
      if (this.#upload === upload) this.#upload = null;
      byId("cancel-upload").hidden = byId("upload-progress").hidden = true;
    }
  }

  #progress = (/** @type {number} */ sent, /** @type {number} */ all) => {
    /** @type {HTMLProgressElement} */ (byId("sent")).value = sent / all;
    byId("sent-words").textContent = `${Math.floor((100 * sent) / all)} %, ${megabytes(sent)} of ${megabytes(all)}`;
    if (sent === all) this.#notice.say("Upload complete; the server is checking it…");
  };

  /**
   * @param {VoiceSample} stored
   * @param {string} message
   */
  #uploaded(stored, message) {
    this.#file = this.#buffer = null;
    this.#part = [0, Infinity];
    byId("trim").hidden = true;
    this.#sound.stopWithin(byId("sample"));
    byId("sample-title").textContent = `Sample “${stored.prompt_id}”`;
    input("voice-name").value = stored.prompt_id;
    this.#said.placeholder = "";
    this.#show(stored);
    this.#hint();
    this.#notice.say(`${message} You can now create a voice from it.`);
    byId("sample-title").focus();
    this.#lookAtWhisper(stored.prompt_id);
  }

  // The transcript.

  async #save() {
    const path = `${pathOf(/** @type {VoiceSample} */ (this.#stored))}/transcript`;
    const answer = await this.#api.send("PUT", path, { transcript: this.#said.value });
    this.#said.value = answer.transcript;
    await this.#reread(answer.prompt_id);
    this.#notice.say(answer.message);
    this.#changed();
  }

  async #transcribe() {
    const before = this.#said.value;
    this.#notice.say(LISTENING);
    const path = `${pathOf(/** @type {VoiceSample} */ (this.#stored))}/transcribe`;
    const { prompt_id: id, heard, replaced } = await this.#api.send("POST", path);
    if (this.id !== id) return;
    await this.#reread(id);
    if (this.#said.value === before) this.#said.value = heard;
    const kept = "Whisper's transcript is shown but not saved; save it if it is better than the current one.";
    this.#notice.say(replaced ? "Transcribed by Whisper; check the transcript." : kept);
    this.#changed();
  }

  /** @param {string} id */
  async #reread(id) {
    const stored = await this.#api.get(metadataOf(id));
    if (this.id === id) this.#show(stored);
  }

  /**
   * Show whether Whisper is available and, if it transcribes by itself, wait for the transcript.
   * @param {string} id
   */
  async #lookAtWhisper(id) {
    try {
      const { available, reason } = await this.#api.get("whisper/status");
      if (this.id !== id) return;
      byId("transcribe").hidden = !available;
      byId("whisper-hint").textContent = reason ? `${reason} You can type the transcript yourself.` : "";
      if (available && !this.#known) await this.#listen(id);
    } catch (error) {
      if (this.id === id) this.#notice.showError(error);
    }
  }

  // True if there is a transcript or a reason for its absence.
  get #known() {
    return !this.#stored || this.#stored.transcript !== null || this.#stored.transcript_findings.length > 0;
  }

  /**
   * Poll until the outcome is known, or until Whisper has been idle long enough to have stored it.
   * @param {string} id
   */
  async #listen(id) {
    const mine = this.#listening = {};
    for (let idle = 0; idle < 2;) {
      await new Promise((passed) => setTimeout(passed, LISTEN_EVERY_MS));
      if (this.#listening !== mine) return;
      const { busy, waiting } = await this.#api.get("whisper/status");
      const stored = await this.#api.get(metadataOf(id));
      if (this.#listening !== mine) return;
      idle = busy || waiting ? 0 : idle + 1;
      this.#said.placeholder = idle ? "" : LISTENING;
      this.#stored = stored;
      if (this.#known) break;
    }
    this.#listening = null;
    this.#said.placeholder = "";
    const stored = /** @type {VoiceSample} */ (this.#stored);
    this.#show(stored);
    if (!this.#said.value) this.#said.value = stored.transcript ?? "";
    this.#changed();
  }

  // The voice.

  async #makeVoice() {
    const stored = /** @type {VoiceSample} */ (this.#stored);
    const said = this.#said.value.trim();
    if (said && said !== stored.transcript) await this.#save();
    const name = nameOf(input("voice-name").value);
    const style = input("voice-style").value.trim();
    const wanted = { voice_id: idOf(name), name, style, audio_prompt: stored.prompt_id };
    const { voice_config: voice, warnings } = await this.#api.send("POST", "voice_mappings", wanted);
    this.#voiceNotice.say(`The voice “${voice.name}” is ready and selected.`);
    byId("voice-warnings").replaceChildren(...items(warnings));
    if (this.id === stored.prompt_id) this.made = voice.voice_id;
    byId("use-made").hidden = this.made === null;
    this.#changed(voice.voice_id);
  }

  /** @param {string | null} chosen id of the voice to select */
  #changed(chosen = null) {
    this.dispatchEvent(new CustomEvent("changed", { detail: { chosen } }));
  }
}

const pathOf = (/** @type {VoiceSample} */ { prompt_id: id }) => `audio_prompts/${encodeURIComponent(id)}`;
const metadataOf = (/** @type {string} */ id) => `audio_prompts/metadata/${encodeURIComponent(id)}`;
const seconds = (/** @type {number} */ time) => `${time.toFixed(1)} s`;
const megabytes = (/** @type {number} */ bytes) => `${(bytes / 1e6).toFixed(bytes < 1e6 ? 2 : 1)} MB`;
