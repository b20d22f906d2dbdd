// @ts-check
// Actions of the Play button and its keys: begin a take, go on with it, or pause; and the change between editing and
// reading that comes with it.

import { Output } from "../audio/output.js";
import { byId } from "../lib/element.js";
import { changeSettings } from "../state.js";
import { lengthOf } from "../take/code-points.js";
import { sameSpeech, speechOf } from "../take/settings.js";

export class Controls {
  #app;
  #reader;
  #textError = ""; // error message to hide when the text is edited

  /** @param {App} app @param {Reader} reader */
  constructor(app, reader) {
    this.#app = app;
    this.#reader = reader;
  }

  playOrPause() {
    const { player, speaker, store } = this.#app;
    if (store.state.tab === "compare" && player.take) speaker.toggle();
    else if (player.active) speaker.pause();
    else if (this.#isCurrent || this.#isPaused) this.#resume();
    else this.#begin();
  }

  /** Play from the beginning. */
  playAgain() {
    if (this.#isCurrent) {
      this.#app.speaker.seek(0);
      this.#resume();
    } else {
      this.#begin();
    }
  }

  /** Play a take that was kept, with its text and its settings. @param {Take} take */
  replay(take) {
    const { store, speaker } = this.#app;
    const { voice, language, speed, pitch, options } = take.settings;
    store.set({ tab: "speak" });
    changeSettings(store, { voice, language, speed, pitch, options });
    this.replaceText(take.text);
    speaker.load(take);
    this.#resume();
  }

  /** @param {string} text */
  replaceText(text) {
    this.edit();
    this.#reader.text = text;
  }

  /** Replace the text and speak it. @param {string} text */
  speakText(text) {
    this.replaceText(text);
    this.playAgain();
  }

  /** Speak what follows with the settings as they are now. */
  changeSettings() {
    const { store, player, speaker } = this.#app;
    if (store.state.tab === "speak" && player.take?.text === store.state.text) speaker.change(this.#settings);
  }

  edit() {
    this.#reader.editable = true;
    byId("edit").hidden = byId("follow").hidden = true;
  }

  #read() {
    if (this.#app.store.state.tab !== "speak") return;
    const held = document.activeElement === byId("text");
    this.#reader.editable = false;
    byId("edit").hidden = false;
    if (held) this.#reader.focus();
  }

  /** Hide the message about the text, which has been edited. */
  clearTextError() {
    this.#app.toast.hide(this.#textError);
  }

  /** Show whether speech is possible, and what the engine announces. */
  show() {
    const { store, toast } = this.#app;
    const { ready, connection } = store.state;
    const obstacle = Output.obstacle();
    const button = byId("play");
    button.disabled = !ready || connection === "locked" || obstacle !== "";
    byId("engine-notice").textContent = ready?.notice ?? "";
    byId("engine-notice").hidden = !ready?.notice;
    if (ready && obstacle) toast.show(obstacle, { kind: "error", lasting: true });
  }

  get #settings() {
    const { settings, ready } = this.#app.store.state;
    return speechOf(settings, ready?.options ?? []);
  }

  // True if the loaded take is of this text with these settings.
  get #isCurrent() {
    const { player, store } = this.#app;
    const { take } = player;
    if (!take || take.mixed || take.text !== store.state.text) return false;
    return sameSpeech(take.settings, this.#settings);
  }

  // True if a take of this text is paused in the middle.
  get #isPaused() {
    const { player, store } = this.#app;
    const { take, state, position } = player;
    return take?.text === store.state.text && !player.active && state !== "ended" && position > 0;
  }

  #resume() {
    this.#read();
    this.#app.speaker.play();
  }

  #begin() {
    const clicked = performance.now();
    const { store, toast, speaker } = this.#app;
    const { ready, text, connection, settings } = store.state;
    this.#textError = this.#obstacle;
    if (this.#textError) {
      toast.show(this.#textError, { kind: "error" });
      if (!Output.obstacle()) this.#reader.focus();
      return;
    }
    if (!ready || connection !== "online") {
      toast.show("There is no connection to the server yet.", { kind: "error" });
      return;
    }
    toast.hide();
    this.#read();
    speaker.speak(text, this.#settings, { tokens: settings.tokens ? settings.rate : null, clicked });
  }

  // The reason why the text cannot be spoken; empty if it can.
  get #obstacle() {
    const { text, ready } = this.#app.store.state;
    const most = ready?.limits.context_characters ?? Infinity;
    const length = lengthOf(text);
    const count = (/** @type {number} */ characters) => characters.toLocaleString("en");
    if (Output.obstacle()) return Output.obstacle();
    if (!/[^\s\p{P}]/u.test(text)) return "There is no text to speak; type some text.";
    if (length > most) return `The text has ${count(length)} characters; at most ${count(most)} are allowed.`;
    return "";
  }
}
