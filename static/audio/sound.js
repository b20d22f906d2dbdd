// @ts-check
// Plays one recording at a time; its button also stops it.

import { UserError } from "../lib/user-error.js";

export class Sound {
  #focus;
  /** @type {AudioContext | null} */
  #context = null;
  /** @type {Playing | null} */
  #playing = null;

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
   * Play what `load` resolves to, a file's bytes or its decoded sound, or stop it.
   * @param {HTMLButtonElement} button
   * @param {() => Promise<ArrayBuffer | AudioBuffer>} load
   * @param {(position: number | null) => void} moved called with the position, 0 to 1, and null at the end
   * @param {() => [number, number]} part from where to where to play, in seconds
   */
  async toggle(button, load, moved = () => {}, part = () => [0, Infinity]) {
    const again = this.#playing?.button === button;
    this.stop();
    if (again) return;
    const label = /** @type {Text} */ (button.firstChild);
    /** @type {Playing} */
    const playing = { button, label: label.data, moved, source: null, frame: 0 };
    this.#playing = playing;
    label.data = "Stop";
    this.#focus.acquire(this, () => this.stop());
    try {
      await this.#open().resume();
      const loaded = await load();
      const buffer = loaded instanceof ArrayBuffer ? await this.decode(loaded) : loaded;
      if (this.#playing === playing) this.#play(playing, buffer, part());
    } catch (error) {
      if (this.#playing === playing) this.stop();
      throw error;
    }
  }

  stop() {
    const playing = this.#playing;
    if (!playing) return;
    this.#playing = null;
    cancelAnimationFrame(playing.frame);
    playing.source?.stop();
    this.#context?.suspend(); // gives the device back
    /** @type {Text} */ (playing.button.firstChild).data = playing.label;
    playing.moved(null);
    this.#focus.release(this);
  }

  /** Stop if the button is within an element that is about to be removed. @param {Element} element */
  stopWithin(element) {
    if (this.#playing && element.contains(this.#playing.button)) this.stop();
  }

  #open() {
    if (!this.#context) {
      this.#context = new AudioContext();
      this.#context.suspend(); // until something plays
    }
    return this.#context;
  }

  /** @param {Playing} playing @param {AudioBuffer} buffer @param {[number, number]} part */
  #play(playing, buffer, [from, to]) {
    const context = this.#open();
    playing.source = new AudioBufferSourceNode(context, { buffer });
    playing.source.connect(context.destination);
    playing.source.onended = () => {
      if (this.#playing === playing) this.stop();
    };
    const began = context.currentTime;
    playing.source.start(0, from, Math.min(to, buffer.duration) - from);
    const move = () => {
      playing.moved(Math.min(1, (from + context.currentTime - began) / buffer.duration));
      playing.frame = requestAnimationFrame(move);
    };
    move();
  }
}
