// @ts-check
// Adds a voice sample: recorded, or from a file.

import { byId } from "../lib/element.js";
import { Notice } from "../lib/notice.js";
import { UserError } from "../lib/user-error.js";
import { Recorder } from "./recorder.js";

const NO_RECORDING = /^(text|image|font|model)\/|^application\/(json|pdf|xml|zip)/u; // types that are certainly not audio
const FORMATS = "wav, aiff, caf, mp3, flac, ogg, opus, m4a, aac, webm, amr or wma";

export class NewVoiceSample {
  #focus;
  #editor;
  #recorder = new Recorder();
  #notice = new Notice(byId("new-sample-notice"));
  #button = byId("record");

  /** @param {App} app @param {VoiceSampleEditor} editor that shows what was recorded or chosen */
  constructor({ store, focus }, editor) {
    this.#focus = focus;
    this.#editor = editor;
    const chooser = byId("sample-file");
    chooser.addEventListener("change", () => {
      if (chooser.files?.length) this.accept(chooser.files[0]);
      chooser.value = ""; // allow choosing the same file again
    });
    this.#button.addEventListener("click", () => (this.#recorder.recording ? this.#recorder.stop() : this.#start()));
    this.#recorder.on("level", ({ seconds, level }) => {
      byId("record-time").textContent = `${seconds.toFixed(1)} s`;
      byId("record-level").value = level;
    });
    this.#recorder.on("recorded", ({ file, seconds }) => this.#recorded(file, seconds));
    this.#recorder.on("failed", (error) => {
      this.#show(false);
      this.#notice.showError(error);
    });
    editor.on("changed", () => this.#notice.say("")); // the recording has been uploaded
    store.watch(["tab"], ({ tab }) => tab === "voices" || this.#recorder.stop());
  }

  /** @param {File} file */
  accept(file) {
    if (NO_RECORDING.test(file.type)) {
      this.#notice.showError(new UserError(`“${file.name}” is not an audio file; choose a ${FORMATS} file.`));
      return;
    }
    this.#notice.say("");
    this.#editor.draft(file);
  }

  async #start() {
    this.#focus.acquire(this.#recorder, () => this.#recorder.stop()); // stops other sound, which would be recorded
    await this.#notice.attempt(this.#button, () => this.#recorder.start());
    this.#show(this.#recorder.recording);
    if (this.#recorder.recording) this.#notice.say("Recording. Speak now.");
  }

  /** @param {File} file @param {number} seconds */
  #recorded(file, seconds) {
    this.#show(false);
    this.#editor.draft(file);
    this.#notice.say(`Recorded ${seconds.toFixed(1)} s. Check it, then upload it.`);
  }

  /** @param {boolean} recording */
  #show(recording) {
    if (!recording) this.#focus.release(this.#recorder);
    this.#button.textContent = recording ? "Stop recording" : "Record";
    byId("recording").hidden = !recording;
  }
}
