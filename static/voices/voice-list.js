// @ts-check
// The list of voices: hear, use, delete.

import { byId, element, setText } from "../lib/element.js";
import { Notice } from "../lib/notice.js";
import { changeSettings } from "../state.js";
import { entry, fill, items } from "./entries.js";
import { ask, button } from "./question.js";
import { inUse } from "./sample-list.js";

export class VoiceList {
  #app;
  #sound;
  #samples;
  #refresh;
  #list = byId("voice-list");
  #notice = new Notice(byId("voice-list-notice"));

  /**
   * @param {App} app
   * @param {Sound} sound
   * @param {SampleList} samples
   * @param {() => Promise<void>} refresh reads the lists anew
   */
  constructor(app, sound, samples, refresh) {
    this.#app = app;
    this.#sound = sound;
    this.#samples = samples;
    this.#refresh = refresh;
    app.store.watch(["status"], ({ status }) => this.#showDownloads(status?.voices ?? {}));
  }

  /** @param {ListedVoice[]} voices */
  show(voices) {
    const warnings = voices.flatMap((voice) => voice.warnings);
    const shared = [...new Set(warnings.filter((warning, at) => warnings.indexOf(warning) < at))];
    byId("shared-warnings").replaceChildren(...items(shared));
    fill(this.#list, voices.map((voice) => this.#entry(voice, shared)), this.#sound);
  }

  /** Select a voice and open the Speak tab. @param {string | null} id */
  use(id) {
    if (id) changeSettings(this.#app.store, { voice: id });
    this.#app.store.set({ tab: "speak" });
    byId("speak-tab").focus();
  }

  /**
   * @param {ListedVoice} voice
   * @param {string[]} shared warnings of several voices, shown above the list
   */
  #entry(voice, shared) {
    const made = voice.audio_prompt ? `from the sample “${voice.audio_prompt}”` : voice.builtin ? "built-in" : "your own";
    const preview = button("Preview", voice.name);
    preview.addEventListener("click", () => this.#preview(preview, voice));
    const use = button("Use this voice", voice.name);
    use.addEventListener("click", () => this.use(voice.id));
    const actions = [preview, use];
    if (!voice.builtin) {
      const remove = button("Delete", voice.name);
      remove.addEventListener("click", () => this.#ask(item, voice));
      actions.push(remove);
    }
    const warnings = voice.warnings.filter((warning) => !shared.includes(warning));
    const item = entry(voice.id, voice.name, `${voice.style}, ${made}`, warnings, actions);
    if (voice.download) {
      const words = element("span", { className: "download" }, downloaded(voice.download));
      words.dataset.voice = voice.id;
      item.querySelector("p")?.append(words);
    }
    return item;
  }

  /** @param {Record<string, Download>} downloads those that have begun */
  #showDownloads(downloads) {
    for (const words of /** @type {NodeListOf<HTMLElement>} */ (this.#list.querySelectorAll(".download"))) {
      const download = downloads[words.dataset.voice ?? ""];
      if (download) setText(words, downloaded(download));
    }
  }

  /** @param {HTMLButtonElement} control @param {ListedVoice} voice */
  async #preview(control, { id, name }) {
    this.#notice.say("");
    try {
      await this.#sound.toggle(control, async () => {
        this.#notice.say(`Loading the preview of ${name}…`);
        const bytes = await this.#app.api.bytes(`preview/${encodeURIComponent(id)}`);
        this.#notice.say("");
        return this.#sound.decode(bytes);
      });
    } catch (error) {
      this.#notice.showError(error);
    }
  }

  /** @param {HTMLElement} item @param {ListedVoice} voice */
  #ask(item, voice) {
    /** @type {Record<string, () => Promise<void>>} */
    const choices = { Delete: () => this.#delete(voice) };
    const { audio_prompt: sample } = voice;
    if (sample) choices["Delete with its sample"] = () => this.#delete(voice, sample);
    ask(item, `Delete the voice “${voice.name}”?`, choices, this.#notice);
  }

  /** @param {ListedVoice} voice @param {string | null} sample to delete with it */
  async #delete({ id, name }, sample = null) {
    await this.#app.api.send("DELETE", `voice_mappings/${encodeURIComponent(id)}`);
    const message = `The voice “${name}” was deleted.`;
    this.#notice.say(message);
    await this.#refresh();
    byId("voice-list-title").focus();
    if (!sample) return;
    try {
      await this.#samples.delete(sample);
    } catch (error) {
      if (!inUse(error)) throw error;
      this.#notice.say(`${message} Its sample was kept because other voices use it.`);
    }
  }
}

/** @param {Download} download */
function downloaded({ state, received, size, error }) {
  if (state === "fetching") return `, being fetched, ${Math.floor((100 * received) / size)} %`;
  if (state === "failed") return `, could not be fetched: ${error}`;
  return state === "absent" ? `, fetched when it first speaks (${(size / 1e6).toFixed(0)} MB)` : "";
}
