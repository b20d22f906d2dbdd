// @ts-check
// A voice that is compared: its name, its waveform, and how long its first sound took to arrive.

import { element, setText } from "../lib/element.js";
import { TakeWaveform } from "../player/waveform.js";
import { clockOf } from "../take/duration.js";

export class Card {
  #voice;
  #app;
  #takes;
  #name = element("h2");
  #canvas = element("canvas", { "aria-hidden": "true" });
  #first = element("dd");
  #length = element("dd");
  #button = element("button", { type: "button" }, "Play");
  #waveform;

  /**
   * @param {string} voice
   * @param {App} app
   * @param {ComparedTakes} takes
   * @param {() => void} toggle plays the voice, or pauses
   */
  constructor(voice, app, takes, toggle) {
    this.#voice = voice;
    this.#app = app;
    this.#takes = takes;
    this.#button.addEventListener("click", toggle);
    const { player, speaker } = app;
    this.#waveform = new TakeWaveform(this.#canvas, {
      get take() {
        return takes.of(voice);
      },
      get position() {
        return player.take === this.take ? player.position : 0;
      },
      seek(sample) {
        if (player.take === this.take) speaker.seek(sample);
      },
    });
    const facts = element("dl", {}, fact("First sound arrived", this.#first), fact("Length", this.#length));
    this.item = element("li", {}, this.#name, this.#canvas, facts, this.#button);
  }

  /** Update the card from the voice and its take. */
  show() {
    const { store, player } = this.#app;
    const take = this.#takes.of(this.#voice);
    const name = store.state.voices.find(({ id }) => id === this.#voice)?.name ?? this.#voice;
    const playing = player.active && take !== null && player.take === take;
    const does = playing ? "Pause" : "Play";
    const { sent, arrived } = take?.metrics ?? {};
    this.item.dataset.playing = String(playing);
    setText(this.#name, name);
    setText(this.#button, does);
    this.#button.setAttribute("aria-label", `${does} ${name}`);
    setText(this.#first, sent !== undefined && arrived !== undefined ? `${Math.round(arrived - sent)} ms` : "–");
    setText(this.#length, take?.complete ? clockOf(take.seconds) : "–");
    this.#waveform.draw();
  }
}

/** @param {string} label @param {HTMLElement} value */
function fact(label, value) {
  return element("div", {}, element("dt", {}, label), value);
}
