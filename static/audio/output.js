// @ts-check
// The audio device: an audio context with the player's worklet, opened when it is first needed.

import { Emitter } from "../lib/emitter.js";
import { heardAt } from "./clock.js";

const SUSPEND_MS = 30_000; // without sound, the device is given back
const START_MS = 4000; // the device has to start within this

/** Events: "built" (messages reach the worklet from now on), "report" (the worklet's), "state" (running or not). */
export class Output extends Emitter {
  /** @type {AudioContext | null} */
  #context = null;
  /** @type {AudioWorkletNode | null} */
  #node = null;
  /** @type {GainNode | null} */
  #gain = null;
  /** @type {Promise<void> | null} */
  #opening = null;
  #amplitude = 1;
  /** @type {Timer | undefined} */
  #idle;

  /** Return why this browser cannot play, with advice; empty if it can. */
  static obstacle() {
    if (!isSecureContext)
      return "Browsers play live audio only on pages served over https or from this machine; open this page that way.";
    return window.AudioWorkletNode ? "" : "This browser is too old to play live audio; use a newer one.";
  }

  get built() {
    return this.#node !== null;
  }

  get running() {
    return this.#context?.state === "running";
  }

  /** The time of the device, in seconds. */
  get time() {
    return this.#context?.currentTime ?? 0;
  }

  /** Seconds from the worklet's output until it is heard. */
  get latency() {
    return this.#context?.outputLatency || this.#context?.baseLatency || 0;
  }

  /**
   * Open the device. The first call must come from a click or a key press. Return the sample rate to ask for.
   * @param {number[]} rates that the server offers, preferred first
   */
  open(rates) {
    if (!this.#context || this.#context.state === "closed") {
      this.#context = new AudioContext({ sampleRate: rates[0], latencyHint: "interactive" });
      this.#context.onstatechange = () => this.emit("state");
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

  resume() {
    clearTimeout(this.#idle);
    this.#context?.resume();
  }

  /** Give the device back if it is not resumed for a while. */
  rest() {
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => this.suspend(), SUSPEND_MS);
  }

  /** Give the device back, as the browser may do at any time. */
  async suspend() {
    await this.#context?.suspend();
  }

  /** @param {number} volume 0 to 1 */
  set volume(volume) {
    this.#amplitude = volume * volume; // loudness grows slower than amplitude
    if (this.#gain) this.#gain.gain.value = this.#amplitude;
  }

  /**
   * Send a message to the worklet, if it is built.
   * @param {object} message
   * @param {Transferable[]} transfer
   */
  post(message, transfer = []) {
    this.#node?.port.postMessage(message, transfer);
  }

  /**
   * Return when the sample is heard that left the worklet with a report, by performance.now().
   * @param {{ time: number, wall: number }} report of the audio context and of Date.now(), when the worklet sent it
   */
  heardAt({ time, wall }) {
    return heardAt(time, {
      now: performance.now(),
      delay: Date.now() - wall,
      currentTime: this.time,
      latency: this.latency,
      stamp: this.#context?.getOutputTimestamp() ?? {},
    });
  }

  /** @param {AudioContext} context */
  async #build(context) {
    await context.audioWorklet.addModule(new URL("player-worklet.js", import.meta.url));
    this.#node = new AudioWorkletNode(context, "player", { numberOfInputs: 0, outputChannelCount: [1] });
    this.#gain = new GainNode(context, { gain: this.#amplitude });
    this.#node.connect(this.#gain).connect(context.destination);
    this.#node.port.onmessage = ({ data }) => this.emit("report", data);
    this.emit("built");
  }
}
