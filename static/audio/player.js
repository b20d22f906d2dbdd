// @ts-check
// Plays a take, from any sample, through the worklet.

import { Emitter } from "../lib/emitter.js";

const SUSPEND_MS = 30_000; // without sound, the audio device is given back
const START_MS = 4000; // the audio device has to start within this

/**
 * Events: "change" (another take or state), "growth" (of the take), "report" (the worklet's), "first" (a take is heard
 * for the first time; the detail is when), "ended" (a take was played to its end), "blocked" (the browser stopped the
 * sound).
 */
export class Player extends Emitter {
  /** @type {AudioContext | null} */
  #context = null;
  /** @type {AudioWorkletNode | null} */
  #node = null;
  /** @type {GainNode | null} */
  #gain = null;
  /** @type {Promise<void> | null} */
  #opening = null;
  /** @type {Take | null} */
  #take = null;
  #sent = 0; // samples of the take that the worklet has
  #number = 0; // of the take, for the worklet
  #last = { position: 0, state: /** @type {PlayerState} */ ("paused"), underruns: 0, time: 0 };
  #began = false; // whether the take has sounded
  #wanted = false; // whether it is to play; the worklet's reports come later
  #volume = 1;
  /** @type {Timer | undefined} */
  #idle;
  #onGrowth = () => {
    this.#feed();
    this.emit("growth");
  };
  #onCut = () => this.#cut();
  #onEnd = () => this.#finish();

  /** Return why this browser cannot play, with advice; empty if it can. */
  static obstacle() {
    if (!isSecureContext)
      return "Browsers play live audio only on pages served over https or from this machine; open this page that way.";
    return window.AudioWorkletNode ? "" : "This browser is too old to play live audio; use a newer one.";
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

  get running() {
    return this.#context?.state === "running";
  }

  /** The sample that is heard now. */
  get position() {
    const { position, state, time } = this.#last;
    if (!this.#take || !this.#context || state !== "playing") return position;
    const since = this.#context.currentTime - time - this.latency;
    return Math.max(0, Math.min(this.#take.length, position + since * this.#take.rate));
  }

  /** Seconds from a sample's leaving the worklet until it is heard. */
  get latency() {
    return this.#context?.outputLatency || this.#context?.baseLatency || 0;
  }

  /**
   * Open the audio device. The first call must come from a click or a key press. Return the sample rate to ask for.
   * @param {number[]} rates that the server offers, preferred first
   */
  open(rates) {
    if (!this.#context || this.#context.state === "closed") {
      this.#context = new AudioContext({ sampleRate: rates[0], latencyHint: "interactive" });
      this.#context.onstatechange = () => this.#contextChanged();
      this.#opening = this.#build(this.#context);
      this.#opening.catch(() => {
        this.#context?.close();
        this.#context = null;
      });
    }
    return rates.includes(this.#context.sampleRate) ? this.#context.sampleRate : rates[0];
  }

  /** Resolve when sound can be played; reject with the reason if it cannot. */
  async ready() {
    await this.#opening;
    const started = this.#context?.resume();
    const late = new Promise((_, reject) => {
      setTimeout(() => reject(new Error("the audio device does not start")), START_MS);
    });
    await Promise.race([started, late]);
  }

  /** Take up another take, from its beginning. @param {Take | null} take */
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
    clearTimeout(this.#idle);
    this.#context?.resume();
    this.#post({ type: "play" });
    this.emit("change");
  }

  pause() {
    this.#wanted = false;
    this.#post({ type: "pause" });
    this.#rest();
    this.emit("change");
  }

  /** Give the audio device back, as the browser may do at any time. */
  async suspend() {
    await this.#context?.suspend();
  }

  /** @param {number} sample */
  seek(sample) {
    const to = Math.max(0, Math.min(Math.round(sample), this.#take?.length ?? 0));
    this.#last = { ...this.#last, position: to, time: this.#context?.currentTime ?? 0 };
    if (this.#last.state === "ended") this.#last.state = "paused";
    this.#post({ type: "seek", to });
    this.emit("report");
  }

  /** @param {number} volume 0 to 1 */
  set volume(volume) {
    this.#volume = volume;
    if (this.#gain) this.#gain.gain.value = volume * volume; // loudness grows slower than amplitude
  }

  /** Return when a sample that left the worklet at a context time is heard, by performance.now(). */
  heardAt(/** @type {number} */ time) {
    const now = performance.now();
    const estimate = now + 1000 * (time + this.latency - (this.#context?.currentTime ?? 0));
    const { contextTime = time, performanceTime = 0 } = this.#context?.getOutputTimestamp() ?? {};
    // While the device starts, its clock and its time stamps jump; a sound is not heard before it has left the worklet.
    return Math.max(now, performanceTime ? performanceTime + 1000 * (time - contextTime) : estimate);
  }

  /** @param {AudioContext} context */
  async #build(context) {
    await context.audioWorklet.addModule(new URL("player-worklet.js", import.meta.url));
    this.#node = new AudioWorkletNode(context, "player", { numberOfInputs: 0, outputChannelCount: [1] });
    this.#gain = new GainNode(context, { gain: this.#volume * this.#volume });
    this.#node.connect(this.#gain).connect(context.destination);
    this.#node.port.onmessage = ({ data }) => this.#receive(data);
    this.#hand();
    if (this.#wanted) this.#post({ type: "play" });
  }

  // Gives the worklet the take from its beginning, once both are there.
  #hand() {
    if (!this.#take || !this.#node) return;
    this.#sent = 0;
    this.#post({ type: "load", take: this.#number, rate: this.#take.rate });
    this.#feed();
    if (this.#take.complete) this.#finish();
  }

  #feed() {
    if (!this.#take || !this.#node || this.#sent >= this.#take.length) return;
    const samples = this.#take.pcm.slice(this.#sent);
    this.#sent += samples.length;
    this.#node.port.postMessage({ type: "audio", take: this.#number, samples }, [samples.buffer]);
  }

  #cut() {
    if (!this.#take) return;
    this.#sent = Math.min(this.#sent, this.#take.length);
    this.#post({ type: "cut", take: this.#number, length: this.#take.length });
  }

  #finish() {
    this.#post({ type: "end", take: this.#number, complete: Boolean(this.#take?.complete) });
  }

  #release() {
    this.#take?.removeEventListener("growth", this.#onGrowth);
    this.#take?.removeEventListener("cut", this.#onCut);
    this.#take?.removeEventListener("end", this.#onEnd);
  }

  #post(/** @type {object} */ message) {
    this.#node?.port.postMessage(message);
  }

  #receive(/** @type {any} */ report) {
    if (report.take !== this.#number) return;
    const before = this.#last.state;
    this.#last = report;
    if (report.state === "ended") {
      this.#wanted = false;
      this.#rest();
    }
    if (report.state === "playing" && !this.#began) {
      this.#began = true;
      this.emit("first", this.heardAt(report.time));
    }
    this.emit("report");
    if (before === report.state) return;
    this.emit("change");
    if (report.state === "ended") this.emit("ended");
  }

  // The browser may suspend the sound, as when a call comes in.
  #contextChanged() {
    if (this.#context?.state !== "running" && this.#wanted && this.#last.state === "playing") {
      this.pause();
      this.emit("blocked");
    }
  }

  #rest() {
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => !this.#wanted && this.suspend(), SUSPEND_MS);
  }
}
