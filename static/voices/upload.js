// @ts-check
// The upload of a voice sample, with its progress; it can be cancelled.

import { byId } from "../lib/element.js";

export class Upload {
  #api;
  #notice;
  /** @type {AbortController | null} */
  #running = null;

  /** @param {Api} api @param {Notice} notice */
  constructor(api, notice) {
    this.#api = api;
    this.#notice = notice;
    byId("cancel-upload").addEventListener("click", () => this.cancel());
  }

  cancel() {
    this.#running?.abort();
  }

  /**
   * Upload a file and return the server's answer.
   * @param {File} file
   * @param {string} name
   * @param {string} transcript
   */
  async send(file, name, transcript) {
    const form = new FormData(); // fields first, as the server reads the form in order
    form.append("prompt_id", name);
    form.append("transcript", transcript);
    form.append("audio_file", file, file.name);
    const running = (this.#running = new AbortController());
    const progress = (/** @type {number} */ sent, /** @type {number} */ all) => this.#show(sent, all);
    byId("cancel-upload").hidden = byId("upload-progress").hidden = false;
    this.#show(0, file.size);
    this.#notice.say("Uploading…");
    try {
      return await this.#api.upload("audio_prompts/upload", form, { progress, signal: running.signal });
    } finally {
      if (this.#running === running) this.#running = null;
      byId("cancel-upload").hidden = byId("upload-progress").hidden = true;
    }
  }

  /**
   * @param {number} sent bytes
   * @param {number} all
   */
  #show(sent, all) {
    byId("sent").value = sent / all;
    byId("sent-words").textContent = `${Math.floor((100 * sent) / all)} %, ${megabytes(sent)} of ${megabytes(all)}`;
    if (sent === all) this.#notice.say("Upload complete; the server is checking it…");
  }
}

/** @param {number} bytes */
export function megabytes(bytes) {
  return `${(bytes / 1e6).toFixed(bytes < 1e6 ? 2 : 1)} MB`;
}
