// @ts-check
// Plays a take from any sample: hands its sound to the worklet as it arrives, and follows what is heard.

import { Emitter } from "../lib/emitter.js";
import { Output } from "./output.js";

/**
 * Events: "change" (another take or state), "growth" (of the take), "report" (the worklet's), "first" (a take is heard
 * for the first time; the detail is when), "ended" (a take was played to its end), "blocked" (the browser stopped the
 * sound, as when a call comes in).
 */
export class Player extends Emitter {
  /** The audio device. */
  output = new Output();
  /** @type {Take | null} */
  #take = null;
  #sent = 0; // samples of the take that the worklet has
  #number = 0; // of the take, for the worklet
  #last = { position: 0, state: /** @type {PlayerState} */ ("paused"), underruns: 0, time: 0 };
  #began = false; // whether the take has sounded
  #wanted = false; // whether it should play; the worklet reports later
  #onGrowth = () => {
    this.#feed();
    this.emit("growth");
  };
  #onCut = () => this.#cut();
  #onEnd = () => this.#finish();

  constructor() {
    super();
    this.output.on("report", (report) => this.#receive(report));
    this.output.on("state", () => this.#deviceChanged());
    this.output.on("built", () => {
      this.#hand();
      if (this.#wanted) this.output.post({ type: "play" });
    });
  }

  get take() {
    return this.#take;
  }

  /** @returns {PlayerState} */
  get state() {
    return this.#last.state;
  }

  /** True while it plays or waits for sound to play. */
  get active() {
    return this.#wanted;
  }

  get underruns() {
    return this.#last.underruns;
  }

  /** The sample that is heard now. */
  get position() {
    const { position, state, time } = this.#last;
    if (!this.#take || state !== "playing") return position;
    const since = this.output.time - time - this.output.latency;
    return Math.max(0, Math.min(this.#take.length, position + since * this.#take.rate));
  }

  /** Load another take, at its beginning. @param {Take | null} take */
  load(take) {
    this.#release();
    this.#take = take;
    this.#sent = 0;
    this.#began = false;
    this.#number += 1;
    this.#last = { ...this.#last, position: 0, state: "paused", underruns: 0 };
    this.#wanted = false;
    if (take) {
      take.addEventListener("growth", this.#onGrowth);
      take.addEventListener("cut", this.#onCut);
      take.addEventListener("end", this.#onEnd);
      this.#hand();
    }
    this.emit("change");
  }

  play() {
    this.#wanted = true;
    this.output.resume();
    this.output.post({ type: "play" });
    this.emit("change");
  }

  pause() {
    this.#wanted = false;
    this.output.post({ type: "pause" });
    this.output.rest();
    this.emit("change");
  }

  /** @param {number} sample */
  seek(sample) {
    const to = Math.max(0, Math.min(Math.round(sample), this.#take?.length ?? 0));
    this.#last = { ...this.#last, position: to, time: this.output.time };
    if (this.#last.state === "ended") this.#last.state = "paused";
    this.output.post({ type: "seek", to });
    this.emit("report");
  }

  // Gives the worklet the take from its beginning, once both are there.
  #hand() {
    if (!this.#take || !this.output.built) return;
    this.#sent = 0;
    this.output.post({ type: "load", take: this.#number, rate: this.#take.rate });
    this.#feed();
    if (this.#take.complete) this.#finish();
  }

  #feed() {
    if (!this.#take || !this.output.built || this.#sent >= this.#take.length) return;
    const samples = this.#take.pcm.slice(this.#sent);
    this.#sent += samples.length;
    this.output.post({ type: "audio", take: this.#number, samples }, [samples.buffer]);
  }

  #cut() {
    if (!this.#take) return;
    this.#sent = Math.min(this.#sent, this.#take.length);
    this.output.post({ type: "cut", take: this.#number, length: this.#take.length });
  }

  #finish() {
    this.output.post({ type: "end", take: this.#number, complete: Boolean(this.#take?.complete) });
  }

  #release() {
    this.#take?.removeEventListener("growth", this.#onGrowth);
    this.#take?.removeEventListener("cut", this.#onCut);
    this.#take?.removeEventListener("end", this.#onEnd);
  }

  #receive(/** @type {any} */ report) {
    if (report.take !== this.#number) return;
    const before = this.#last.state;
    this.#last = report;
    if (report.state === "ended") {
      this.#wanted = false;
      this.output.rest();
    }
    if (report.state === "playing" && !this.#began) {
      this.#began = true;
      this.emit("first", this.output.heardAt(report));
    }
    this.emit("report");
    if (before === report.state) return;
    this.emit("change");
    if (report.state === "ended") this.emit("ended");
  }

  #deviceChanged() {
    if (this.output.running || !this.#wanted || this.#last.state !== "playing") return;
    this.pause();
    this.emit("blocked");
  }
}
