// The voice sample being edited: a local file until its upload, then a stored sample to create a voice from.

import { Notice } from "../lib/notice.js";
import { fileOf, within } from "./cut.js";
import { Waveform, heightsOf } from "./waveform.js";

const SHOWN_BYTES = 16 * 2 ** 20; // a larger file may not fit into memory when decoded
const TRIM_STEP_S = 0.05; // as in the page
const LISTEN_EVERY_MS = 1000;
const LANGUAGES = new Intl.DisplayNames(["en"], { type: "language" });
const LISTENING = "Transcribing…";
const view = (id) => document.getElementById(id);

export class Sample extends EventTarget {
  #samples = {}; // stored samples, by id
  #voices = [];
  #api;
  #sound;
  #waveform = new Waveform(view("waveform"));
  #notice = new Notice(view("sample-notice"));
  #voiceNotice = new Notice(view("voice-notice"));
  #file = null; // the file to upload
  #stored = null; // the metadata of a stored sample
  #buffer = null; // its decoded audio
  #upload = null; // AbortController of the upload in progress
  #made = null; // id of the voice just created from it
  #listening = null; // identifies the wait for Whisper
  #part = [0, Infinity]; // what is played and, of a file, uploaded; in seconds

  constructor(api, sound) {
    super();
    this.#api = api;
    this.#sound = sound;
    view("sample-play").addEventListener("click", () => this.#play());
    view("sample-name").addEventListener("input", () => this.#hint(this.#notice));
    view("voice-name").addEventListener("input", () => this.#hint(this.#voiceNotice));
    view("said").addEventListener("input", () => this.#notice.forgive());
    for (const end of ["from", "to"]) view(`trim-${end}`).addEventListener("input", () => this.#trim(end));
    view("cancel-upload").addEventListener("click", () => this.#upload?.abort());
    view("save-transcript").addEventListener("click", ({ target }) => this.#notice.attempt(target, () => this.#save()));
    view("transcribe").addEventListener("click", ({ target }) => this.#notice.attempt(target, () => this.#transcribe()));
    view("upload-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#notice.attempt(view("upload"), () => this.#send());
    });
    view("voice-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#voiceNotice.attempt(view("make-voice"), () => this.#makeVoice());
    });
  }

  get id() {
    return this.#stored?.prompt_id ?? null;
  }

  // Shows a file that is not uploaded yet.
  async draft(file) {
    this.#begin("New voice sample", "");
    view("said").placeholder = "Optional; you can add it later.";
    this.#file = file;
    view("sample-name").value = this.#freeName(file.name);
    view("sample-facts").textContent = megabytes(file.size);
    this.#hint();
    if (file.size > SHOWN_BYTES) {
      view("sample-play").disabled = true;
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
      view("sample-play").disabled = true;
      this.#notice.showError(error);
    }
  }

  // Shows a stored sample, given its metadata.
  open(stored) {
    this.#begin(`Sample “${stored.prompt_id}”`, stored.transcript ?? "");
    view("voice-name").value = stored.prompt_id;
    this.#show(stored);
    this.#hint();
    this.#lookAtWhisper();
  }

  close() {
    this.#upload?.abort();
    this.#file = this.#stored = this.#buffer = this.#made = this.#listening = null;
    view("sample").hidden = true;
  }

  // Shows the ends of the part to keep, which can be moved before the upload.
  #offerTrim(duration) {
    for (const end of ["from", "to"]) view(`trim-${end}`).max = TRIM_STEP_S * Math.ceil(duration / TRIM_STEP_S);
    view("trim-from").value = 0;
    view("trim-to").value = view("trim-to").max;
    view("trim").hidden = false;
    this.#trim("to");
  }

  #trim(moved) {
    const { duration } = this.#buffer;
    const [from, to] = within(Number(view("trim-from").value), Number(view("trim-to").value), duration, moved);
    this.#part = [from, to];
    for (const [end, at] of [["from", from], ["to", to]]) {
      view(`trim-${end}`).value = at;
      view(`trim-${end}-time`).textContent = seconds(at);
      view(`trim-${end}`).setAttribute("aria-valuetext", seconds(at));
    }
    this.#waveform.keep(from / duration, to / duration);
    const length = this.#whole ? seconds(duration) : `${seconds(to - from)} of ${seconds(duration)}`;
    view("sample-facts").textContent = `${length}, ${megabytes(this.#file.size)}`;
  }

  // Whether nothing is cut off.
  get #whole() {
    return !this.#buffer || this.#part[1] - this.#part[0] > this.#buffer.duration - 0.02;
  }

  #begin(title, said) {
    this.#sound.stopWithin(view("sample")); // a preview that was started to end a recording plays on
    this.close();
    view("sample-title").textContent = title;
    view("sample-facts").textContent = "";
    view("trim").hidden = view("use-made").hidden = true;
    view("sample-play").disabled = false;
    this.#part = [0, Infinity];
    view("said").value = said;
    view("said").placeholder = "";
    this.#waveform.show([]);
    this.#notice.say("");
    this.#voiceNotice.say("");
    view("upload-form").hidden = false;
    view("stored").hidden = true;
    list(view("sample-warnings"), []);
    list(view("voice-warnings"), []);
    view("sample").hidden = false;
  }

  #show(stored) {
    this.#stored = stored;
    this.#waveform.show(stored.waveform);
    const { duration, original_format: format, original_sample_rate: rate, language } = stored;
    const facts = [`${duration.toFixed(1)} s`, `${format} at ${rate} Hz`];
    if (language) facts.push(`${LANGUAGES.of(language)}, ${Math.round(100 * stored.language_probability)} % sure`);
    view("sample-facts").textContent = facts.join(", ");
    list(view("sample-warnings"), stored.warnings);
    view("upload-form").hidden = true;
    view("stored").hidden = false;
  }

  // Returns an unused sample name derived from the file's name.
  #freeName(fileName) {
    const name = nameOf(fileName.replace(/\.[^.]*$/u, "")) || "sample";
    let free = name;
    for (let count = 2; Object.hasOwn(this.#samples, free); count++) free = `${name.slice(0, 60)}-${count}`;
    return free;
  }

  // mended: the notice whose error may be out of date.
  #hint(mended = null) {
    mended?.forgive();
    const replaces = Object.hasOwn(this.#samples, nameOf(view("sample-name").value));
    view("sample-name-hint").hidden = !replaces;
    view("upload").textContent = replaces ? "Replace" : "Upload";
    const voice = idOf(view("voice-name").value);
    const known = voice !== this.#made && this.#voices.some(({ id }) => id === voice);
    view("voice-name-hint").hidden = !known;
    view("make-voice").textContent = known ? "Replace voice" : "Create voice";
  }

  async #play() {
    try {
      const moved = (heard) => this.#waveform.move(heard);
      await this.#sound.toggle(view("sample-play"), () => this.#load(), moved, () => this.#part);
    } catch (error) {
      this.#notice.showError(error);
    }
  }

  async #load() {
    const stored = this.#stored;
    const buffer = this.#buffer ?? await this.#sound.decode(await this.#api.bytes(`${pathOf(stored)}/audio`));
    if (this.#stored === stored) this.#buffer = buffer;
    return buffer;
  }

  async #send() {
    const file = this.#file;
    const sent = this.#whole ? file : fileOf(this.#buffer, ...this.#part, file.name);
    const form = new FormData(); // fields first, as the server reads the form in order
    form.append("prompt_id", nameOf(view("sample-name").value));
    form.append("transcript", view("said").value);
    form.append("audio_file", sent, sent.name);
    const upload = this.#upload = new AbortController();
    const { signal } = upload;
    view("cancel-upload").hidden = view("upload-progress").hidden = false;
    view("sent").value = 0;
    this.#notice.say("Uploading…");
    try {
      const answer = await this.#api.upload("audio_prompts/upload", form, { progress: this.#progress, signal });
      this.#changed();
      const stored = await this.#api.get(metadataOf(answer.prompt_id));
      if (this.#file !== file) return; // another sample was opened
      this.#file = this.#buffer = null;
      this.#part = [0, Infinity];
      view("trim").hidden = true;
      this.#sound.stopWithin(view("sample"));
      view("sample-title").textContent = `Sample “${stored.prompt_id}”`;
      view("voice-name").value = stored.prompt_id;
      view("said").placeholder = "";
      this.#show(stored);
      this.#hint();
      this.#notice.say(`${answer.message} You can now create a voice from it.`);
      view("sample-title").focus();
      this.#lookAtWhisper();
    } catch (error) {
      if (this.#file === file) throw error;
    } finally {
      if (this.#upload === upload) this.#upload = null;
      view("cancel-upload").hidden = view("upload-progress").hidden = true;
    }
  }

  #progress = (sent, all) => {
    view("sent").value = sent / all;
    view("sent-words").textContent = `${Math.floor((100 * sent) / all)} %, ${megabytes(sent)} of ${megabytes(all)}`;
    if (sent === all) this.#notice.say("Upload complete; the server is checking it…");
  };

  async #save() {
    const path = `${pathOf(this.#stored)}/transcript`;
    const answer = await this.#api.send("PUT", path, { transcript: view("said").value });
    view("said").value = answer.transcript;
    await this.#reread(answer.prompt_id);
    this.#notice.say(answer.message);
    this.#changed();
  }

  async #transcribe() {
    const before = view("said").value;
    this.#notice.say(LISTENING);
    const { prompt_id: id, heard, replaced } = await this.#api.send("POST", `${pathOf(this.#stored)}/transcribe`);
    if (this.id !== id) return;
    await this.#reread(id);
    if (view("said").value === before) view("said").value = heard;
    const kept = "Whisper's transcript is shown but not saved; save it if it is better than the current one.";
    this.#notice.say(replaced ? "Transcribed by Whisper; check the transcript." : kept);
    this.#changed();
  }

  async #reread(id) {
    const stored = await this.#api.get(metadataOf(id));
    if (this.id === id) this.#show(stored);
  }

  // Shows whether Whisper is available and, if it transcribes automatically, waits for the transcript.
  async #lookAtWhisper() {
    const id = this.id;
    try {
      const { available, reason } = await this.#api.get("whisper/status");
      if (this.id !== id) return;
      view("transcribe").hidden = !available;
      view("whisper-hint").textContent = reason ? `${reason} You can type the transcript yourself.` : "";
      if (available && !this.#known()) await this.#listen(id);
    } catch (error) {
      if (this.id === id) this.#notice.showError(error);
    }
  }

  // Returns whether there is a transcript or a reason for its absence.
  #known() {
    return this.#stored.transcript !== null || this.#stored.transcript_findings.length > 0;
  }

  // Polls until the outcome is known, or until Whisper has been idle long enough to have stored it.
  async #listen(id) {
    const mine = this.#listening = {};
    for (let idle = 0; idle < 2;) {
      await new Promise((passed) => setTimeout(passed, LISTEN_EVERY_MS));
      if (this.#listening !== mine) return;
      const { busy, waiting } = await this.#api.get("whisper/status");
      const stored = await this.#api.get(metadataOf(id));
      if (this.#listening !== mine) return;
      idle = busy || waiting ? 0 : idle + 1;
      view("said").placeholder = idle ? "" : LISTENING;
      this.#stored = stored;
      if (this.#known()) break;
    }
    this.#listening = null;
    view("said").placeholder = "";
    this.#show(this.#stored);
    if (!view("said").value) view("said").value = this.#stored.transcript ?? "";
    this.#changed();
  }

  async #makeVoice() {
    const sample = this.id;
    const said = view("said").value.trim();
    if (said && said !== this.#stored.transcript) await this.#save();
    const name = nameOf(view("voice-name").value);
    const wanted = { voice_id: idOf(name), name, style: view("voice-style").value.trim(), audio_prompt: sample };
    const { voice_config: voice, warnings } = await this.#api.send("POST", "voice_mappings", wanted);
    this.#voiceNotice.say(`The voice “${voice.name}” is ready and selected.`);
    view("use-made").hidden = false;
    list(view("voice-warnings"), warnings);
    if (this.id === sample) this.#made = voice.voice_id;
    this.#changed(voice.voice_id);
  }

  // Announces that voices or samples have changed. chosen: id of the voice to select.
  #changed(chosen = null) {
    this.dispatchEvent(new CustomEvent("changed", { detail: { chosen } }));
  }

  // Sets the stored samples and voices, whose names are taken.
  setKnown(samples, voices) {
    this.#samples = samples;
    this.#voices = voices;
    this.#hint();
  }
}

const pathOf = ({ prompt_id: id }) => `audio_prompts/${encodeURIComponent(id)}`;
const metadataOf = (id) => `audio_prompts/metadata/${encodeURIComponent(id)}`;
const seconds = (time) => `${time.toFixed(1)} s`;
const megabytes = (bytes) => `${(bytes / 1e6).toFixed(bytes < 1e6 ? 2 : 1)} MB`;

// Converts typed text to a name that the server accepts.
function nameOf(typed) {
  const plain = typed.normalize("NFKC").replace(/[^\p{L}\p{M}\p{Nd}_.-]+/gu, " ");
  return Array.from(plain.replace(/^[\p{M}. ]+/u, "")).slice(0, 64).join("").trim();
}

function idOf(name) {
  return nameOf(nameOf(name).toLowerCase().replaceAll(" ", "-"));
}

function list(element, sentences) {
  element.replaceChildren(...sentences.map((sentence) => {
    const item = document.createElement("li");
    item.textContent = sentence;
    return item;
  }));
}
