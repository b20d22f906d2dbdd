// @ts-check
// The Compare tab: one text in two to four voices, made at once, heard one after another.

import { byId } from "../lib/element.js";
import { voiceChoices } from "../speak/voice-preview.js";
import { changeSettings } from "../state.js";
import { MOST_COMPARED } from "../take/settings.js";
import { Card } from "./card.js";
import { ComparedTakes } from "./takes.js";

const LEAST = 2;

class Comparison {
  #app;
  #takes;
  /** @type {Map<string, Card>} by voice; kept, as their drawings follow the window's size and colours */
  #cards = new Map();
  #inTurn = false; // whether the next voice plays when one ends
  #listed = ""; // the voices whose cards are in the list
  #frame = 0;

  /** @param {App} app */
  constructor(app) {
    this.#app = app;
    this.#takes = new ComparedTakes(app);
    const { store, player } = app;
    store.watch(["tab", "text", "voices", "settings"], () => this.#show());
    this.#takes.on("change", () => this.#show());
    player.on("change", () => {
      this.#show();
      if (!this.#frame) this.#frame = requestAnimationFrame(() => this.#animate());
    });
    player.on("ended", () => this.#inTurn && this.#playNext());
    byId("compare-choose").addEventListener("click", () => choose(app));
    byId("compare-all").addEventListener("click", () => this.#playInTurn());
    store.watch(["ready"], ({ ready }) => (byId("compare-choose").disabled = byId("compare-all").disabled = !ready));
  }

  get #isShown() {
    return this.#app.store.state.tab === "compare";
  }

  get #voices() {
    return voicesOf(this.#app.store.state);
  }

  /** Return whether the voice could be requested. @param {string} voice */
  #play(voice) {
    const { store, player, speaker, toast } = this.#app;
    const written = store.state.text.trim() !== "";
    if (!written || store.state.connection !== "online") {
      const wrong = written ? "There is no connection to the server." : "There is no text; write one in the Speak tab.";
      toast.show(wrong, { kind: "error" });
      return false;
    }
    for (const id of this.#voices) this.#takes.ask(id); // all start at once, so that their times compare
    const { take, context } = this.#takes.ask(voice);
    if (player.take !== take) speaker.load(take, context);
    speaker.play();
    return true;
  }

  /** @param {string} voice */
  #toggle(voice) {
    const { player, speaker } = this.#app;
    this.#inTurn = false;
    if (player.active && player.take === this.#takes.of(voice)) speaker.pause();
    else this.#play(voice);
  }

  #playInTurn() {
    this.#inTurn = this.#play(this.#voices[0]);
    if (this.#inTurn) this.#app.speaker.seek(0);
  }

  #playNext() {
    const { take } = this.#app.player;
    const at = this.#voices.findIndex((voice) => this.#takes.of(voice) === take); // -1 for a take of another tab
    const next = at < 0 ? undefined : this.#voices[at + 1];
    this.#inTurn = next !== undefined && this.#play(next);
  }

  #show() {
    if (!this.#isShown) return;
    const voices = this.#voices;
    if (voices.join("\n") !== this.#listed) {
      this.#listed = voices.join("\n");
      this.#takes.keepOnly(voices);
      byId("compare-list").replaceChildren(...voices.map((voice) => this.#card(voice).item));
    }
    for (const voice of voices) this.#card(voice).show();
  }

  /** @param {string} voice */
  #card(voice) {
    const card = this.#cards.get(voice) ?? new Card(voice, this.#app, this.#takes, () => this.#toggle(voice));
    this.#cards.set(voice, card);
    return card;
  }

  #animate() {
    this.#frame = 0;
    this.#show();
    if (this.#app.player.active && this.#isShown) this.#frame = requestAnimationFrame(() => this.#animate());
  }
}

/** @param {HTMLElement} _panel @param {App} app */
export function mount(_panel, app) {
  new Comparison(app);
}

/** Return the voices to compare: those chosen, or else the first ones. @param {State} state */
function voicesOf({ voices, settings }) {
  const known = settings.compared.filter((id) => voices.some((voice) => voice.id === id));
  return known.length >= LEAST ? known : voices.slice(0, LEAST).map(({ id }) => id);
}

/** Open the dialog that chooses the voices. @param {App} app */
function choose(app) {
  const { store, picker } = app;
  picker.open({
    title: "Voices to compare, two to four",
    ...voiceChoices(app),
    get picked() {
      return voicesOf(store.state);
    },
    several: true,
    pick: (id) => {
      const now = voicesOf(store.state);
      const next = now.includes(id) ? now.filter((one) => one !== id) : [...now, id];
      if (next.length >= LEAST && next.length <= MOST_COMPARED) changeSettings(store, { compared: next });
    },
  });
}
