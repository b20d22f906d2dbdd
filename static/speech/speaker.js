// @ts-check
// Commands of the player: speak, play, pause, seek, skip, and change the settings of what is still to be spoken.

import { Emitter } from "../lib/emitter.js";
import { sameSpeech, speechOf } from "../take/settings.js";
import { Take } from "../take/take.js";
import { Supply } from "./supply.js";

export const SKIP_S = 5; // of one press of "back" or "forward"

/** Events: "take" (another take), "change" (a context began or ended). */
export class Speaker extends Emitter {
  #app;
  #supply;
  /** @type {Settings | null} */
  #changed = null; // settings to speak the rest with

  /** @param {App} app */
  constructor(app) {
    super();
    this.#app = app;
    const { player } = app;
    this.#supply = new Supply(app);
    this.#supply.on("change", () => this.emit("change"));
    this.#supply.on("resume", () => this.play());
    player.on("change", () => this.#playerChanged());
    player.on("blocked", () =>
      app.toast.show("The browser has paused the sound.", { action: { label: "Play", act: () => this.play() } }),
    );
    player.on("first", (heard) => {
      if (this.take) this.take.metrics.heard ??= heard;
      this.emit("change");
    });
  }

  get take() {
    return this.#app.player.take;
  }

  /**
   * Speak a text from its beginning.
   * @param {string} text
   * @param {Settings} settings
   * @param {{ tokens?: number | null, clicked?: number }} how tokens: per second, or null for all at once
   */
  async speak(text, settings, { tokens = null, clicked = performance.now() } = {}) {
    const take = this.prepare(text, settings);
    take.metrics.clicked = clicked;
    this.load(take);
    this.#supply.tokens = tokens;
    await this.play();
  }

  /** Open the audio device and return a new take at its sample rate. */
  prepare(/** @type {string} */ text, /** @type {Settings} */ settings) {
    const ready = /** @type {Ready} */ (this.#app.store.state.ready);
    return new Take(text, settings, this.#app.player.output.open([ready.sample_rate, ...ready.sample_rates]));
  }

  /**
   * Load a new or old take without playing it.
   * @param {Take | null} take
   * @param {Context | null} context that fills it already, and goes on when it is put away
   */
  load(take, context = null) {
    this.#supply.begin(context);
    this.#changed = null;
    this.#app.player.load(take);
    this.emit("take");
  }

  /** Play from where it is. */
  async play() {
    const { player, focus, toast } = this.#app;
    const take = this.take;
    if (!take) return;
    focus.acquire(this, () => player.pause());
    player.output.open([take.rate]);
    this.#supply.retry();
    player.play();
    try {
      await player.output.ready();
      take.metrics.device ??= performance.now();
    } catch (error) {
      player.pause();
      toast.show(`Audio could not start: ${/** @type {Error} */ (error).message}.`, { kind: "error" });
    }
  }

  pause() {
    this.#app.player.pause();
  }

  /** Pause, and cancel all contexts of this page, those of compared voices too. */
  stop() {
    this.#app.player.pause();
    this.#supply.cancel();
    this.#app.contexts.cancelAll();
  }

  toggle() {
    if (this.#app.player.active) this.pause();
    else this.play();
  }

  /** Go to a sample. @param {number} sample */
  seek(sample) {
    this.#app.player.seek(sample);
  }

  /** Play from a text offset: at once if its sound has arrived, else from a new context. @param {number} offset */
  playFrom(offset) {
    const take = this.take;
    if (!take) return;
    const sample = take.sampleOf(offset);
    if (sample !== null) this.seek(sample);
    else this.#restart(take.wordStart(offset));
    if (!this.#app.player.active) this.play();
  }

  next() {
    const { player } = this.#app;
    const take = this.take;
    if (!take) return;
    const sample = take.next(player.position);
    const sentence = take.sentenceAt(player.position);
    if (sample !== null) this.seek(sample);
    else if (take.complete) this.seek(take.length);
    else if (sentence) this.#restart(sentence.end);
  }

  previous() {
    if (this.take) this.seek(this.take.previous(this.#app.player.position));
  }

  /** @param {number} seconds forward, or negative back */
  skip(seconds) {
    if (this.take) this.seek(this.#app.player.position + seconds * this.take.rate);
  }

  /** @param {-1 | 1} step */
  skipWord(step) {
    const sample = this.take?.wordStep(this.#app.player.position, step);
    if (sample !== null && sample !== undefined) this.seek(sample);
  }

  /** Speak what follows the sentence that is heard with other settings. @param {Settings} settings */
  change(settings) {
    const { player, store } = this.#app;
    const take = this.take;
    const used = store.state.ready?.options ?? []; // a kept take may have been spoken by another engine
    if (!take || sameSpeech(speechOf(take.settings, used), settings)) {
      this.#changed = null;
      return;
    }
    if (player.state === "ended" || player.position === 0) return; // the next take will use them
    this.#changed = settings;
    if (player.active) this.#applyChange();
  }

  #applyChange() {
    const take = this.take;
    const settings = this.#changed;
    this.#changed = null;
    if (!take || !settings) return;
    const sentence = take.sentenceAt(this.#app.player.position);
    const offset = sentence ? sentence.end : take.continuation;
    if (offset >= take.points.length || !take.text.slice(take.points.toUnits(offset)).trim()) return;
    take.settings = settings;
    take.mixed = true;
    this.#restart(offset);
  }

  #restart(/** @type {number} */ offset) {
    this.#supply.restart(offset);
    const length = this.take?.length ?? 0;
    if (this.#app.player.position > length) this.seek(length);
  }

  #playerChanged() {
    const { player, focus } = this.#app;
    if (player.active && this.#changed) this.#applyChange();
    if (player.state === "ended") focus.release(this);
    this.#supply.fill();
  }
}
