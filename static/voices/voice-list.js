// @ts-check
// The list of voices: preview, use, delete.

import { byId, element, setText } from "../lib/element.js";
import { changeSettings } from "../state.js";
import { EntryList, entry, items } from "./entries.js";
import { button } from "./question.js";
import { inUse } from "./voice-sample-list.js";

export class VoiceList extends EntryList {
  #app;
  #voiceSamples;
  #refresh;

  /**
   * @param {App} app
   * @param {Sound} sound
   * @param {VoiceSampleList} voiceSamples
   * @param {() => Promise<void>} refresh reads the lists anew
   */
  constructor(app, sound, voiceSamples, refresh) {
    super("voice-list", sound);
    this.#app = app;
    this.#voiceSamples = voiceSamples;
    this.#refresh = refresh;
    app.store.watch(["status"], ({ status }) => this.#showDownloads(status?.voices ?? {}));
  }

  /** @param {ListedVoice[]} voices */
  show(voices) {
    const warnings = voices.flatMap((voice) => voice.warnings);
    const shared = [...new Set(warnings.filter((warning, at) => warnings.indexOf(warning) < at))];
    byId("shared-warnings").replaceChildren(...items(shared));
    this.fill(voices.map((voice) => this.#entry(voice, shared)));
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
    const item = entry({
      key: voice.id,
      name: voice.name,
      facts: `${voice.style}, ${made}`,
      warnings: voice.warnings.filter((warning) => !shared.includes(warning)),
      actions: [preview, use, ...(voice.builtin ? [] : [this.#deletion(voice)])],
    });
    if (voice.download) {
      const words = element("span", { className: "download" }, downloaded(voice.download));
      words.dataset.voice = voice.id;
      item.querySelector("p")?.append(words);
    }
    return item;
  }

  /** @param {Record<string, Download>} downloads those that have begun */
  #showDownloads(downloads) {
    for (const words of /** @type {NodeListOf<HTMLElement>} */ (this.list.querySelectorAll(".download"))) {
      const download = downloads[words.dataset.voice ?? ""];
      if (download) setText(words, downloaded(download));
    }
  }

  /** @param {HTMLButtonElement} control @param {ListedVoice} voice */
  async #preview(control, { id, name }) {
    this.notice.say("");
    try {
      await this.sound.toggle(control, async () => {
        this.notice.say(`Loading the preview of ${name}…`);
        const bytes = await this.#app.api.bytes(`preview/${encodeURIComponent(id)}`);
        this.notice.say("");
        return bytes;
      });
    } catch (error) {
      this.notice.showError(error);
    }
  }

  /** @param {ListedVoice} voice */
  #deletion(voice) {
    const { name, audio_prompt: voiceSample } = voice;
    /** @type {Record<string, () => Promise<void>>} */
    const choices = { Delete: () => this.#delete(voice) };
    if (voiceSample) choices["Delete with its sample"] = () => this.#delete(voice, voiceSample);
    return this.deletion(name, `Delete the voice “${name}”?`, choices);
  }

  /** @param {ListedVoice} voice @param {string | null} voiceSample to delete with it */
  async #delete({ id, name }, voiceSample = null) {
    await this.#app.api.send("DELETE", `voice_mappings/${encodeURIComponent(id)}`);
    const message = `The voice “${name}” was deleted.`;
    this.notice.say(message);
    await this.#refresh();
    this.title.focus();
    if (!voiceSample) return;
    try {
      await this.#voiceSamples.delete(voiceSample);
    } catch (error) {
      if (!inUse(error)) throw error;
      this.notice.say(`${message} Its sample was kept because other voices use it.`);
    }
  }
}

/** @param {Download} download */
function downloaded({ state, received, size, error }) {
  if (state === "fetching") return `, downloading, ${Math.floor((100 * received) / size)} %`;
  if (state === "failed") return `, download failed: ${error}`;
  return state === "absent" ? `, downloads on first use (${(size / 1e6).toFixed(0)} MB)` : "";
}
