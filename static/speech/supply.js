// @ts-check
// Supplies the player: while it plays and its take is not complete, a context fills the take.
//
// After a context that was lost, cancelled or timed out, the next one begins at the sentence that was broken off.

import { Emitter } from "../lib/emitter.js";

const NEAR_S = 30; // with a costly engine, a context is opened only when less than this is left to play
const PLAYED_EVERY_MS = 250;
const STARVED_MS = 20_000; // playback pauses after so long without sound

/** Events: "change" (a context began or ended, or its first sound arrived), "resume" (the user asks to play on). */
export class Supply extends Emitter {
  #app;
  /** @type {Context | null} */
  #context = null;
  #borrowed = false; // opened by another panel; it continues when another take is loaded
  #failed = false; // the last context failed, and another attempt is the user's decision
  /** @type {number | null} */
  #brokenOff = null; // text offset of the sentence in which the last context failed
  #loss = ""; // the message about a lost connection
  #playedAt = 0;
  #starvedAt = 0;
  /** @type {number | null} tokens per second to send the text with; null for all at once */
  tokens = null;

  /** @param {App} app */
  constructor(app) {
    super();
    this.#app = app;
    const { player, store, toast } = app;
    player.on("change", () => {
      this.#starvedAt = player.active && player.state === "waiting" ? performance.now() : 0;
      this.#pauseAtTheEnd();
    });
    player.on("report", () => {
      this.#reportPlayed();
      this.fill();
    });
    store.watch(["connection"], ({ connection }) => {
      if (connection === "online") toast.hide(this.#loss);
      this.fill();
    });
  }

  /** Begin with another take. @param {Context | null} context that fills it already */
  begin(context) {
    if (this.#borrowed) this.#context = null;
    this.cancel();
    this.retry();
    this.tokens = null;
    if (context && !context.ended) this.#watch(context, true);
  }

  /** Allow another attempt after an error. */
  retry() {
    this.#failed = false;
    this.#brokenOff = null;
  }

  /** Cancel the context, even a borrowed one: only one may fill the take at a time. */
  cancel() {
    const context = this.#context;
    this.#context = null;
    context?.cancel();
  }

  /** Drop the sound from a text offset on and speak it again. @param {number} offset */
  restart(offset) {
    this.cancel();
    this.retry();
    this.#open(offset);
  }

  /** Open a context if the take needs one. */
  fill() {
    const { player, contexts, toast } = this.#app;
    const take = player.take;
    if (!take || take.complete || this.#context || this.#failed || !player.active || !contexts.available) return;
    if (this.#costly && take.length - player.position > NEAR_S * take.rate) return;
    if (this.#starvedAt && performance.now() - this.#starvedAt > STARVED_MS) {
      this.#starvedAt = 0;
      player.pause();
      toast.show("Connected again.", { action: this.#continue });
      return;
    }
    this.#open(take.continuation);
  }

  get #continue() {
    return { label: "Continue", act: () => this.emit("resume") };
  }

  get #costly() {
    return this.#app.store.state.ready?.cost === "high";
  }

  #reportPlayed() {
    const now = performance.now();
    if (!this.#costly || !this.#context || now - this.#playedAt <= PLAYED_EVERY_MS) return;
    this.#playedAt = now;
    this.#context.reportPlayed(this.#app.player.position);
  }

  /** @param {number} from */
  #open(from) {
    const { contexts, player } = this.#app;
    const take = /** @type {Take} */ (player.take);
    if (!contexts.available) return;
    this.#watch(contexts.open(take, { from, tokensPerSecond: this.tokens }), false);
    this.emit("change");
  }

  /**
   * Follow the context that fills the take.
   * @param {Context} context
   * @param {boolean} borrowed
   */
  #watch(context, borrowed) {
    const { take } = context;
    const began = take.length;
    this.#context = context;
    this.#borrowed = borrowed;
    context.on("sound", () => this.emit("change"));
    context.on("end", ({ how, code, message, retryable }) => {
      if (this.#context !== context) return;
      this.#context = null;
      if (how === "lost") this.#reportLoss(take);
      else if (how === "error" && code !== "too_slow")
        this.#reportError(take, message, retryable && take.length > began);
      this.emit("change");
      queueMicrotask(() => this.fill());
    });
  }

  /** @param {Take} take */
  #reportLoss(take) {
    const next = take.length
      ? "Playback continues with what has arrived; the rest follows after reconnecting."
      : "Playback begins after reconnecting.";
    this.#loss = `The connection to the server was lost. ${next}`;
    this.#app.toast.show(this.#loss, { kind: "error", lasting: true });
  }

  /**
   * Go on by itself only if that may help, and once for each sentence.
   * @param {Take} take
   * @param {string} message
   * @param {boolean} hopeful whether another attempt may succeed
   */
  #reportError(take, message, hopeful) {
    this.#failed = !hopeful || take.continuation === this.#brokenOff;
    this.#brokenOff = take.continuation;
    this.#app.toast.show(message, { kind: "error", ...(this.#failed && { action: this.#continue }) });
    this.#pauseAtTheEnd();
  }

  // Pauses where no more sound will come unless the user asks for it.
  #pauseAtTheEnd() {
    const { player } = this.#app;
    if (this.#failed && player.active && player.take && player.take.length <= player.position) player.pause();
  }
}
