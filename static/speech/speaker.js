// @ts-check
// Speaks: keeps the player supplied with the take it plays, and replaces contexts that ended early.
//
// While the player plays and the take is not complete, a context fills it. Where one was lost, cancelled or timed
// out, the next one begins at the sentence that was broken off; after a change of settings, at the next sentence.

import { sameSpeech } from "../take/settings.js";
import { Take } from "../take/take.js";

const NEAR_S = 30; // with a costly engine, a context is opened only when less than this is left to play
const PLAYED_EVERY_MS = 250;
export const SKIP_S = 5; // of one press of "back" or "forward"
const STARVED_MS = 20_000; // without sound for so long, playback pauses

/** @typedef {import("../take/take.js").Settings} Settings */

/** Events: "take" (another take), "change" (a context began or ended). */
export class Speaker extends EventTarget {
  #app;
  /** @type {import("./context.js").Context | null} */
  #context = null;
  #borrowed = false; // somebody else opened the context; it goes on when its take is put away
  /** @type {number | null} tokens per second */
  #tokens = null;
  #failed = false; // the last context ended in an error before any sound; the user has to ask again
  #loss = ""; // the message about a lost connection
  #playedAt = 0;
  #starvedAt = 0;
  /** @type {Settings | null} */
  #changed = null; // settings to speak the rest with

  /** @param {import("../app.js").App} app */
  constructor(app) {
    super();
    this.#app = app;
    const { player, store } = app;
    player.addEventListener("change", () => this.#playerChanged());
    player.addEventListener("report", () => this.#reported());
    player.addEventListener("blocked", () =>
      app.toast.show("The browser has paused the sound.", { action: { label: "Play", act: () => this.play() } }),
    );
    store.watch(["connection"], ({ connection }) => {
      if (connection === "online") app.toast.hide(this.#loss);
      this.#fill();
    });
    app.player.addEventListener("first", (event) => {
      if (this.take) this.take.metrics.heard ??= /** @type {CustomEvent} */ (event).detail;
      this.#tell("change");
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
    this.#tokens = tokens;
    await this.play();
  }

  /** Return a new take at the sample rate of the audio device, which this opens. */
  prepare(/** @type {string} */ text, /** @type {Settings} */ settings) {
    const ready = /** @type {import("../state.js").Ready} */ (this.#app.store.state.ready);
    return new Take(text, settings, this.#app.player.open([ready.sample_rate, ...ready.sample_rates]));
  }

  /**
   * Take up a take, new or old, without playing it.
   * @param {Take | null} take
   * @param {import("./context.js").Context | null} context that fills it already, and goes on when it is put away
   */
  load(take, context = null) {
    if (this.#borrowed) this.#context = null;
    this.#cancel();
    this.#failed = false;
    this.#changed = null;
    this.#tokens = null;
    if (context && !context.ended) this.#attend(context, { borrowed: true });
    this.#app.player.load(take);
    this.#tell("take");
  }

  /** Play from where it is. */
  async play() {
    const { player, focus, toast } = this.#app;
    const take = this.take;
    if (!take) return;
    focus.take(this, () => player.pause());
    player.open([take.rate]);
    this.#failed = false;
    player.play();
    try {
      await player.ready();
      take.metrics.device ??= performance.now();
    } catch (error) {
      player.pause();
      toast.show(`This browser cannot play audio: ${/** @type {Error} */ (error).message}.`, { kind: "error" });
    }
  }

  pause() {
    this.#app.player.pause();
  }

  /** Pause, and cancel all contexts of this page, those of compared voices too. */
  stop() {
    this.#app.player.pause();
    this.#cancel();
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

  /** Hear from a text offset on: at once if its sound has arrived, else from a new context. @param {number} offset */
  hearFrom(offset) {
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
    const { player } = this.#app;
    const take = this.take;
    if (!take || sameSpeech(take.settings, settings)) {
      this.#changed = null;
      return;
    }
    if (player.state === "ended" || player.position === 0) return; // a new take will have them
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

  // Drops what is held of the text from an offset on, and speaks it anew.
  #restart(/** @type {number} */ offset) {
    const take = /** @type {Take} */ (this.take);
    this.#cancel();
    this.#failed = false;
    this.#open(offset);
    if (this.#app.player.position > take.length) this.seek(take.length);
  }

  #playerChanged() {
    const { player, focus } = this.#app;
    if (player.active && this.#changed) this.#applyChange();
    if (player.state === "ended") focus.release(this);
    this.#starvedAt = player.active && player.state === "waiting" ? performance.now() : 0;
    this.#fill();
  }

  #reported() {
    const { player } = this.#app;
    const now = performance.now();
    if (this.#costly && this.#context && now - this.#playedAt > PLAYED_EVERY_MS) {
      this.#playedAt = now;
      this.#context.reportPlayed(player.position);
    }
    this.#fill();
  }

  get #costly() {
    return this.#app.store.state.ready?.cost === "high";
  }

  // Opens a context where the take needs one.
  #fill() {
    const { player, contexts, toast } = this.#app;
    const take = this.take;
    if (!take || take.complete || this.#context || !player.active || !contexts.available) return;
    if (this.#costly && take.length - player.position > NEAR_S * take.rate) return;
    if (this.#failed) return;
    if (this.#starvedAt && performance.now() - this.#starvedAt > STARVED_MS) {
      this.#starvedAt = 0;
      player.pause();
      toast.show("Connected again.", { action: { label: "Continue", act: () => this.play() } });
      return;
    }
    this.#open(take.continuation);
  }

  #open(/** @type {number} */ from) {
    const take = /** @type {Take} */ (this.take);
    const { contexts } = this.#app;
    if (!contexts.available) return;
    take.metrics.sent ??= performance.now();
    this.#attend(contexts.open(take, { from, tokensPerSecond: this.#tokens }), { borrowed: false });
    this.#tell("change");
  }

  /**
   * Watch over the context that fills the take.
   * @param {import("./context.js").Context} context
   * @param {{ borrowed: boolean }} how
   */
  #attend(context, { borrowed }) {
    const { take } = context;
    const began = take.length;
    this.#context = context;
    this.#borrowed = borrowed;
    context.addEventListener("sound", () => {
      take.metrics.arrived ??= performance.now();
      this.#failed = false;
      this.#tell("change");
    });
    context.addEventListener("end", ({ detail }) => {
      if (this.#context !== context) return;
      this.#context = null;
      if (detail.how === "done" && context.from === 0) Object.assign(take.metrics, detail.metrics);
      if (detail.how === "lost") this.#sayLost(take);
      else if (detail.how === "error" && detail.code !== "too_slow") this.#sayFailed(take, detail.message, began);
      this.#tell("change");
      queueMicrotask(() => this.#fill());
    });
  }

  #sayLost(/** @type {Take} */ take) {
    this.#loss = lossOf(take);
    this.#app.toast.show(this.#loss, { kind: "error", lasting: true });
  }

  /**
   * @param {Take} take
   * @param {string} message
   * @param {number} began samples that had arrived when the context began
   */
  #sayFailed(take, message, began) {
    const { toast, player } = this.#app;
    this.#failed = take.length <= began;
    toast.show(message, { kind: "error", action: { label: "Continue", act: () => this.play() } });
    if (this.#failed && take.length <= player.position) this.pause();
  }

  // Ends the context, whoever opened it: no other may fill the take at the same time.
  #cancel() {
    const context = this.#context;
    this.#context = null;
    context?.cancel();
  }

  #tell(/** @type {string} */ type) {
    this.dispatchEvent(new Event(type));
  }
}

function lossOf(/** @type {Take} */ take) {
  const plays = "What has arrived plays on; the rest follows when it is back.";
  const kept = take.length ? plays : "It goes on when it is back.";
  return `The connection to the server was lost. ${kept}`;
}
