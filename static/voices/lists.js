// @ts-check
// The lists of voices and of voice samples: hear, use, open, delete.

import { byId, element, setText } from "../lib/element.js";
import { Notice } from "../lib/notice.js";
import { Refusal } from "../lib/refusal.js";
import { changeSettings } from "../state.js";
import { entry, items } from "./entry.js";
import { ask, button } from "./question.js";

export class Lists {
  #app;
  #sound;
  #sample;
  #refresh;
  /** @type {ListedVoice[]} */
  #voices = [];
  #voiceNotice = new Notice(byId("voice-list-notice"));
  #sampleNotice = new Notice(byId("sample-list-notice"));

  /**
   * @param {App} app
   * @param {Sound} sound
   * @param {Sample} sample the one being edited
   * @param {() => Promise<void>} refresh reads the lists anew
   */
  constructor(app, sound, sample, refresh) {
    this.#app = app;
    this.#sound = sound;
    this.#sample = sample;
    this.#refresh = refresh;
    app.store.watch(["status"], ({ status }) => this.#showDownloads(status?.voices ?? {}));
  }

  /**
   * @param {ListedVoice[]} voices
   * @param {VoiceSample[]} samples
   */
  show(voices, samples) {
    this.#voices = voices;
    const warnings = voices.flatMap((voice) => voice.warnings);
    const shared = [...new Set(warnings.filter((warning, at) => warnings.indexOf(warning) < at))];
    byId("shared-warnings").replaceChildren(...items(shared));
    this.#fill(byId("voice-list"), voices.map((voice) => this.#voiceEntry(voice, shared)));
    this.#fill(byId("sample-list"), samples.map((sample) => this.#sampleEntry(sample)));
    byId("no-samples").hidden = samples.length > 0;
  }

  /** Go on in the Speak tab with a voice. @param {string | null} id */
  use(id) {
    if (id) changeSettings(this.#app.store, { voice: id });
    this.#app.store.set({ tab: "speak" });
    byId("speak-tab").focus();
  }

  /**
   * Replace the entries, keeping the focus on the same control if it still exists.
   * @param {HTMLElement} list
   * @param {HTMLElement[]} entries
   */
  #fill(list, entries) {
    const held = list.contains(document.activeElement) ? document.activeElement?.textContent : null;
    this.#sound.stopWithin(list);
    list.replaceChildren(...entries);
    if (!held) return;
    const again = [...list.querySelectorAll("button")].find((one) => one.textContent === held);
    (again ?? byId(list.getAttribute("aria-labelledby") ?? "")).focus();
  }

  /**
   * @param {ListedVoice} voice
   * @param {string[]} shared warnings of several voices, shown above the list
   */
  #voiceEntry(voice, shared) {
    const made = voice.audio_prompt ? `from the sample “${voice.audio_prompt}”` : voice.builtin ? "built-in" : "your own";
    const preview = button("Preview", voice.name);
    preview.addEventListener("click", () => this.#preview(preview, voice));
    const use = button("Use this voice", voice.name);
    use.addEventListener("click", () => this.use(voice.id));
    const actions = [preview, use];
    if (!voice.builtin) {
      const remove = button("Delete", voice.name);
      remove.addEventListener("click", () => this.#askAboutVoice(item, voice));
      actions.push(remove);
    }
    const warnings = voice.warnings.filter((warning) => !shared.includes(warning));
    const item = entry(voice.name, `${voice.style}, ${made}`, warnings, actions);
    if (voice.download) {
      const words = element("span", { className: "download" }, downloaded(voice.download));
      words.dataset.voice = voice.id;
      item.querySelector("p")?.append(words);
    }
    return item;
  }

  /** @param {Record<string, Download>} downloads those that have begun */
  #showDownloads(downloads) {
    for (const words of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("#voice-list .download"))) {
      const download = downloads[words.dataset.voice ?? ""];
      if (download) setText(words, downloaded(download));
    }
  }

  /** @param {VoiceSample} sample */
  #sampleEntry({ prompt_id: id, duration, transcript, exists }) {
    const open = button("Open", id);
    open.addEventListener("click", () => this.#openSample(open, id));
    const remove = button("Delete", id);
    remove.addEventListener("click", () => this.#askAboutSample(item, id));
    const facts = `${duration.toFixed(1)} s, ${transcript ? "with a transcript" : "no transcript"}`;
    const item = entry(id, facts, exists ? [] : ["The file is missing; upload it again."], [open, remove]);
    return item;
  }

  /**
   * @param {HTMLButtonElement} control
   * @param {ListedVoice} voice
   */
  async #preview(control, { id, name }) {
    this.#voiceNotice.say("");
    try {
      await this.#sound.toggle(control, async () => {
        this.#voiceNotice.say(`Loading the preview of ${name}…`);
        const bytes = await this.#app.api.bytes(`preview/${encodeURIComponent(id)}`);
        this.#voiceNotice.say("");
        return this.#sound.decode(bytes);
      });
    } catch (error) {
      this.#voiceNotice.showError(error);
    }
  }

  /**
   * @param {HTMLButtonElement} control
   * @param {string} id
   */
  async #openSample(control, id) {
    await this.#sampleNotice.attempt(control, async () => {
      this.#sample.open(await this.#app.api.get(`audio_prompts/metadata/${encodeURIComponent(id)}`));
      this.#sampleNotice.say("");
      byId("sample-title").focus();
    });
  }

  // Deletion.

  /**
   * @param {HTMLElement} item
   * @param {ListedVoice} voice
   */
  #askAboutVoice(item, voice) {
    /** @type {Record<string, () => Promise<void>>} */
    const choices = { Delete: () => this.#deleteVoice(voice) };
    const { audio_prompt: sample } = voice;
    if (sample) choices["Delete with its sample"] = () => this.#deleteVoice(voice, sample);
    ask(item, `Delete the voice “${voice.name}”?`, choices, this.#voiceNotice);
  }

  /**
   * @param {ListedVoice} voice
   * @param {string | null} sample to delete with it
   */
  async #deleteVoice({ id, name }, sample = null) {
    await this.#app.api.send("DELETE", `voice_mappings/${encodeURIComponent(id)}`);
    const message = `The voice “${name}” was deleted.`;
    this.#voiceNotice.say(message);
    await this.#refresh();
    byId("voice-list-title").focus();
    if (!sample) return;
    try {
      await this.#deleteSample(sample);
    } catch (error) {
      if (!inUse(error)) throw error;
      this.#voiceNotice.say(`${message} Its sample was kept because other voices use it.`);
    }
  }

  /**
   * @param {HTMLElement} item
   * @param {string} id
   */
  #askAboutSample(item, id) {
    const remove = async () => {
      try {
        await this.#deleteSample(id);
        byId("sample-list-title").focus();
      } catch (error) {
        if (!inUse(error)) throw error;
        await this.#refresh();
        this.#askAgain(id, error);
      }
    };
    ask(item, `Delete the sample “${id}”?`, { Delete: remove }, this.#sampleNotice);
  }

  /**
   * Name the voices that use the sample; without it they speak with a built-in voice.
   * @param {string} id
   * @param {Refusal} refusal
   */
  #askAgain(id, { message }) {
    const users = this.#voices.filter((voice) => voice.audio_prompt === id).map(({ name }) => `“${name}”`);
    const entries = /** @type {HTMLElement[]} */ ([...byId("sample-list").children]);
    const item = entries.find((one) => one.dataset.name === id);
    if (!users.length || !item) throw new Refusal(message);
    const question = `The sample “${id}” is in use by ${users.join(", ")}, which will sound different without it.`;
    const remove = async () => {
      await this.#deleteSample(id, "?force=true");
      byId("sample-list-title").focus();
    };
    ask(item, question, { "Delete anyway": remove }, this.#sampleNotice);
  }

  /**
   * @param {string} id
   * @param {string} query
   */
  async #deleteSample(id, query = "") {
    const { message } = await this.#app.api.send("DELETE", `audio_prompts/${encodeURIComponent(id)}${query}`);
    if (this.#sample.id === id) {
      this.#sound.stop();
      this.#sample.close();
    }
    await this.#refresh();
    this.#sampleNotice.say(message);
  }
}

/**
 * @param {unknown} error
 * @returns {error is Refusal}
 */
function inUse(error) {
  return error instanceof Refusal && error.code === "in_use";
}

/** @param {Download} download */
function downloaded({ state, received, size, error }) {
  if (state === "fetching") return `, being fetched, ${Math.floor((100 * received) / size)} %`;
  if (state === "failed") return `, could not be fetched: ${error}`;
  return state === "absent" ? `, fetched when it first speaks (${(size / 1e6).toFixed(0)} MB)` : "";
}
