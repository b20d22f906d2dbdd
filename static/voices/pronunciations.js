// @ts-check
// The pronunciation list: words that are not read as they are written.

import { byId } from "../lib/element.js";
import { languageName } from "../lib/languages.js";
import { Notice } from "../lib/notice.js";
import { entry, fill, items } from "./entries.js";
import { ask, button } from "./question.js";

/** @param {App} app @param {Sound} sound */
export function mountPronunciations({ api, store, speech }, sound) {
  const list = byId("words");
  const form = byId("word-form");
  const [word, respelling, language] = ["word", "respelling", "word-language"].map(
    (id) => /** @type {HTMLInputElement} */ (byId(id)),
  );
  const notice = new Notice(byId("words-notice"));
  const formNotice = new Notice(byId("word-notice"));

  store.watch(["tab"], ({ tab }) => tab === "voices" && refresh());
  speech.on("ready", () => store.state.tab === "voices" && refresh());
  form.addEventListener("input", () => formNotice.clearError());
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    formNotice.attempt(byId("add-word"), add);
  });

  async function refresh() {
    try {
      show(await api.get("pronunciations"));
      notice.clearError();
    } catch (error) {
      notice.showError(error);
    }
  }

  async function add() {
    const wanted = {
      word: word.value.trim(), respelling: respelling.value.trim(), language: language.value.trim() || null, ipa: null,
    };
    await change((words) => [...words.filter((one) => keyOf(one) !== keyOf(wanted)), wanted]);
    formNotice.say(`“${wanted.word}” is read as “${wanted.respelling}” from the next sentence on.`);
    form.reset();
    word.focus();
  }

  /** @param {Word} gone */
  async function remove(gone) {
    await change((words) => words.filter((one) => keyOf(one) !== keyOf(gone)));
    notice.say(`“${gone.word}” is read as it is written again.`);
    byId("words-title").focus();
  }

  /**
   * Change the server's current list; another client may have changed it.
   * @param {(words: Word[]) => Word[]} changed
   */
  async function change(changed) {
    const { pronunciations } = await api.get("pronunciations");
    show(await api.send("PUT", "pronunciations", { pronunciations: changed(pronunciations) }));
  }

  /** @param {{pronunciations: Word[], warnings: string[]}} answer */
  function show({ pronunciations, warnings }) {
    fill(list, pronunciations.map(wordEntry), sound);
    byId("no-words").hidden = pronunciations.length > 0;
    byId("word-warnings").replaceChildren(...items(warnings));
  }

  /** @param {Word} one */
  function wordEntry(one) {
    const says = [one.respelling && `“${one.respelling}”`, one.ipa && `/${one.ipa}/`].filter(Boolean).join(", ");
    const where = one.language ? `in ${languageName(one.language)}` : "in every language";
    const hear = button("Hear", one.word);
    hear.addEventListener("click", () => play(hear, one));
    const drop = button("Delete", one.word);
    drop.addEventListener("click", () => ask(item, `Read “${one.word}” as it is written?`, { Delete: () => remove(one) }, notice));
    const item = entry(keyOf(one), one.word, `read as ${says}, ${where}`, [], [hear, drop]);
    return item;
  }

  /** @param {HTMLButtonElement} control @param {Word} one */
  async function play(control, { word: input, language: tag }) {
    notice.clearError();
    const asked = { model: "tts-1", voice: store.state.voices[0]?.id, input, response_format: "wav", ...(tag && { language: tag }) };
    try {
      await sound.toggle(control, async () => sound.decode(await api.bytes("v1/audio/speech", asked)));
    } catch (error) {
      notice.showError(error);
    }
  }
}

/** Return what distinguishes a pronunciation from all others. @param {Word} word */
function keyOf({ word, language }) {
  return `${word}\n${language ?? ""}`.toLowerCase();
}
