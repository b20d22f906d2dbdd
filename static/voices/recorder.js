// @ts-check
// Records up to a minute from the microphone and reports the level. However it ends, the microphone is switched off.

import { Emitter } from "../lib/emitter.js";
import { UserError } from "../lib/user-error.js";

const LONGEST_S = 59.5; // the server accepts a minute, and stopping takes a moment
const EVERY_MS = 100;
const KINDS = [["audio/webm;codecs=opus", "webm"], ["audio/mp4", "m4a"], ["audio/ogg;codecs=opus", "ogg"]];
const BITS_PER_S = 128000;
const CONSTRAINTS = { channelCount: 1, echoCancellation: false, noiseSuppression: false }; // the unprocessed voice

const UNABLE = "This browser cannot record; choose a file instead.";
const BROKEN = "The recording failed and the microphone was switched off; try again, or choose a file.";
const NOT_SECURE = "Browsers allow the microphone only on pages served over https or from this machine; choose a file instead.";
/** @type {Record<string, string>} */
const REASONS = {
  NotAllowedError: "Access to the microphone was denied; allow it for this page in the browser's settings, or choose a file.",
  NotFoundError: "No microphone was found; connect one, or choose a file.",
  NotReadableError: "The microphone is not available; close other programs that use it, or choose a file.",
};

/**
 * Events: "level" { seconds, level } while recording, and at the end "recorded" { file, seconds } or "failed" (a
 * UserError).
 */
export class Recorder extends Emitter {
  /** @type {MediaRecorder | null} */
  #media = null;
  /** @type {object | null} */
  #asked = null; // identifies the pending request for the microphone

  get recording() {
    return this.#media !== null;
  }

  /** Start recording. Throw a UserError if that cannot be. Stopping before access is granted records nothing. */
  async start() {
    if (!isSecureContext) throw new UserError(NOT_SECURE);
    if (!navigator.mediaDevices || !window.MediaRecorder) throw new UserError(UNABLE);
    const asked = this.#asked = {};
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ audio: CONSTRAINTS });
    } catch (error) {
      const { name, message } = /** @type {Error} */ (error);
      throw new UserError(REASONS[name] ?? `The microphone cannot be used: ${message}`);
    }
    if (this.#asked === asked) this.#record(stream);
    else switchOff(stream);
  }

  stop() {
    this.#asked = null;
    if (this.#media?.state === "recording") this.#media.stop();
  }

  /** @param {MediaStream} stream */
  #record(stream) {
    const context = new AudioContext();
    let timer = 0;
    const release = () => {
      clearInterval(timer);
      switchOff(stream);
      context.close();
      this.#media = null;
    };
    try {
      const { analyser, mono } = metered(context, stream);
      const passed = stopwatch();
      this.#media = this.#start(mono, passed, release);
      for (const track of stream.getTracks()) track.onended = () => this.stop(); // the microphone was unplugged
      timer = setInterval(() => {
        if (passed() >= LONGEST_S) this.stop();
        this.emit("level", { seconds: passed(), level: peakOf(analyser) });
      }, EVERY_MS);
    } catch {
      release();
      throw new UserError(BROKEN);
    }
  }

  /** @param {MediaStream} stream @param {() => number} passed seconds @param {() => void} release called at the end */
  #start(stream, passed, release) {
    const [mimeType, ending] = KINDS.find(([kind]) => MediaRecorder.isTypeSupported(kind)) ?? ["", "webm"];
    const media = new MediaRecorder(stream, { mimeType, audioBitsPerSecond: BITS_PER_S });
    /** @type {Blob[]} */
    const pieces = [];
    media.ondataavailable = ({ data }) => pieces.push(data);
    media.onstop = () => {
      release();
      const file = new File(pieces, `recording.${ending}`, { type: media.mimeType });
      this.emit("recorded", { file, seconds: passed() });
    };
    media.onerror = () => {
      media.onstop = null;
      release();
      this.emit("failed", new UserError(BROKEN));
    };
    media.start();
    return media;
  }
}

/** Return a stream mixed to mono, and what measures it. @param {AudioContext} context @param {MediaStream} stream */
function metered(context, stream) {
  const analyser = new AnalyserNode(context, { fftSize: 4096 });
  const mono = new MediaStreamAudioDestinationNode(context, { channelCount: 1 });
  new MediaStreamAudioSourceNode(context, { mediaStream: stream }).connect(analyser).connect(mono);
  return { analyser, mono: mono.stream };
}

/** Return a function that returns the seconds since this call. */
function stopwatch() {
  const began = performance.now();
  return () => (performance.now() - began) / 1000;
}

/** @param {MediaStream} stream */
function switchOff(stream) {
  for (const track of stream.getTracks()) track.stop();
}

/** @param {AnalyserNode} analyser */
function peakOf(analyser) {
  const samples = new Float32Array(analyser.fftSize);
  analyser.getFloatTimeDomainData(samples);
  return samples.reduce((peak, sample) => Math.max(peak, Math.abs(sample)), 0);
}
