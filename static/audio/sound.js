// @ts-check
// Plays one recording at a time; its button also stops it.

import { UserError } from "../lib/user-error.js";

export class Sound {
  #focus;
  /** @type {AudioContext | null} */
  #context = null;
  /** @type {Turn | null} */
  #turn = null;

  /** @param {AudioFocus} focus held while it plays */
  constructor(focus) {
    this.#focus = focus;
  }

  /** Decode a file's bytes. Throw a UserError if this browser cannot read it. @param {ArrayBuffer} bytes */
  async decode(bytes) {
    try {
      return await this.#open().decodeAudioData(bytes);
    } catch {
      throw new UserError("This browser cannot play the file, but the server may still accept it.");
    }
  }

  /**
   * Play what `load` resolves to, or stop it.
   * @param {HTMLButtonElement} button
   * @param {() => Promise<AudioBuffer>} load
   * @param {(position: number | null) => void} moved called with the position, 0 to 1, and null at the end
   * @param {() => [number, number]} part from where to where to play, in seconds
   */
  async toggle(button, load, moved = () => {}, part = () => [0, Infinity]) {
    const again = this.#turn?.button === button;
    this.stop();
    if (again) return;
    const label = /** @type {Text} */ (button.firstChild);
    /** @type {Turn} */
    const turn = { button, label: label.data, moved, source: null, frame: 0 };
    this.#turn = turn;
    label.data = "Stop";
    this.#focus.take(this, () => this.stop());
    try {
      await this.#open().resume();
      const buffer = await load();
      if (this.#turn === turn) this.#play(turn, buffer, part());
    } catch (error) {
      if (this.#turn === turn) this.stop();
      throw error;
    }
  }

  stop() {
    const turn = this.#turn;
    if (!turn) return;
    this.#turn = null;
    cancelAnimationFrame(turn.frame);
    turn.source?.stop();
    this.#context?.suspend(); // gives the device back
    /** @type {Text} */ (turn.button.firstChild).data = turn.label;
    turn.moved(null);
    this.#focus.release(this);
  }

  /** Stop if the button is within an element that is about to be removed. @param {Element} element */
  stopWithin(element) {
    if (this.#turn && element.contains(this.#turn.button)) this.stop();
  }

  #open() {
    if (!this.#context) {
      this.#context = new AudioContext();
      this.#context.suspend(); // until something plays
    }
    return this.#context;
  }

  /** @param {Turn} turn @param {AudioBuffer} buffer @param {[number, number]} part */
  #play(turn, buffer, [from, to]) {
    const context = this.#open();
    turn.source = new AudioBufferSourceNode(context, { buffer });
    turn.source.connect(context.destination);
    turn.source.onended = () => {
      if (this.#turn === turn) this.stop();
    };
    const began = context.currentTime;
    turn.source.start(0, from, Math.min(to, buffer.duration) - from);
    const move = () => {
      turn.moved(Math.min(1, (from + context.currentTime - began) / buffer.duration));
      turn.frame = requestAnimationFrame(move);
    };
    move();
  }
}
