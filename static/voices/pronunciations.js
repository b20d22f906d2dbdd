// @ts-check
// The pronunciation list: words that are not read as they are written.

import { byId } from "../lib/element.js";
import { languageName } from "../lib/languages.js";
import { Notice } from "../lib/notice.js";
import { DEFAULTS, generateBody } from "../take/settings.js";
import { EntryList, entry, items } from "./entries.js";
import { button } from "./question.js";

export class Pronunciations extends EntryList {
  #api;
  #store;
  #form = byId("word-form");
  #word = byId("word");
  #respelling = byId("respelling");
  #language = byId("word-language");
  #formNotice = new Notice(byId("word-notice"));

  /** @param {App} app @param {Sound} sound */
  constructor({ api, store, speakChannel }, sound) {
    super("words", sound);
    this.#api = api;
    this.#store = store;
    store.watch(["tab"], () => this.#refresh());
    speakChannel.on("ready", () => this.#refresh());
    this.#form.addEventListener("input", () => this.#formNotice.clearError());
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#formNotice.attempt(byId("add-word"), () => this.#add());
    });
  }

  // Reads the list anew if the tab is open.
  async #refresh() {
    if (this.#store.state.tab !== "voices") return;
    try {
      this.#show(await this.#api.get("pronunciations"));
      this.notice.clearError();
    } catch (error) {
      this.notice.showError(error);
    }
  }

  async #add() {
    const [word, respelling] = [this.#word.value.trim(), this.#respelling.value.trim()];
    const wanted = { word, respelling, language: this.#language.value.trim() || null, ipa: null };
    await this.#change((words) => [...words.filter((one) => keyOf(one) !== keyOf(wanted)), wanted]);
    this.#formNotice.say(`“${word}” is read as “${respelling}” from the next sentence on.`);
    this.#form.reset();
    this.#word.focus();
  }

  /** @param {Word} gone */
  async #delete(gone) {
    await this.#change((words) => words.filter((one) => keyOf(one) !== keyOf(gone)));
    this.notice.say(`Pronunciation of “${gone.word}” deleted.`);
    this.title.focus();
  }

  /**
   * Change the server's current list; another client may have changed it.
   * @param {(words: Word[]) => Word[]} changed
   */
  async #change(changed) {
    const { pronunciations } = await this.#api.get("pronunciations");
    this.#show(await this.#api.send("PUT", "pronunciations", { pronunciations: changed(pronunciations) }));
  }

  /** @param {{pronunciations: Word[], warnings: string[]}} answer */
  #show({ pronunciations, warnings }) {
    this.fill(pronunciations.map((word) => this.#entry(word)));
    byId("no-words").hidden = pronunciations.length > 0;
    byId("word-warnings").replaceChildren(...items(warnings));
  }

  /** @param {Word} one */
  #entry(one) {
    const { word, respelling, ipa, language } = one;
    const says = [respelling && `“${respelling}”`, ipa && `/${ipa}/`].filter(Boolean).join(", ");
    const where = language ? `in ${languageName(language)}` : "in every language";
    const preview = button("Preview", word);
    preview.addEventListener("click", () => this.#preview(preview, one));
    const question = `Delete the pronunciation of “${word}”?`;
    const remove = this.deletion(word, question, { Delete: () => this.#delete(one) });
    return entry({ key: keyOf(one), name: word, facts: `read as ${says}, ${where}`, actions: [preview, remove] });
  }

  /** @param {HTMLButtonElement} control @param {Word} word */
  async #preview(control, { word, language }) {
    this.notice.clearError();
    const speech = { ...DEFAULTS, voice: this.#store.state.voices[0]?.id, language: language ?? "auto" };
    try {
      await this.sound.toggle(control, () => this.#api.bytes("generate", generateBody(word, speech, "wav")));
    } catch (error) {
      this.notice.showError(error);
    }
  }
}

/** Return what distinguishes a pronunciation from all others. @param {Word} word */
function keyOf({ word, language }) {
  return `${word}\n${language ?? ""}`.toLowerCase();
}
