// Plays one recording at a time; its button also stops it.

import { Refusal } from "../lib/notice.js";

export class Sound extends EventTarget {
  #context = null;
  #turn = null; // the recording being loaded or played

  // Decodes a file's bytes to an AudioBuffer. Throws a Refusal if this browser cannot read it.
  async decode(bytes) {
    try {
      return await this.#open().decodeAudioData(bytes);
    } catch {
      throw new Refusal("This browser cannot play the file, but the server may still accept it.");
    }
  }

  // Plays the AudioBuffer that `load` resolves to, or stops it. moved(position): 0 to 1, null at the end.
  // part(): from where to where it is played, in seconds.
  async toggle(button, load, moved = () => {}, part = () => [0, Infinity]) {
    const again = this.#turn?.button === button;
    this.stop();
    if (again) return;
    const turn = { button, label: button.firstChild.data, moved, source: null, frame: 0 };
    this.#turn = turn;
    button.firstChild.data = "Stop";
    this.dispatchEvent(new Event("start"));
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
    turn.button.firstChild.data = turn.label;
    turn.moved(null);
    this.dispatchEvent(new Event("end"));
  }

  // Stops playback if its button is within an element about to be removed.
  stopWithin(element) {
    if (this.#turn && element.contains(this.#turn.button)) this.stop();
  }

  #open() {
    return (this.#context ??= new AudioContext());
  }

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
