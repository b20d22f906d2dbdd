// Records up to a minute from the microphone and reports the level.

import { Refusal } from "../lib/notice.js";

const LONGEST_S = 59.5; // the server accepts a minute, and stopping takes a moment
const EVERY_MS = 100;
const KINDS = [["audio/webm;codecs=opus", "webm"], ["audio/mp4", "m4a"], ["audio/ogg;codecs=opus", "ogg"]];
const BITS_PER_S = 128000;
const CONSTRAINTS = { channelCount: 1, echoCancellation: false, noiseSuppression: false }; // the unprocessed voice

const UNABLE = "This browser cannot record; choose a file instead.";
const NOT_SECURE = "Browsers allow the microphone only on pages served over https or from this machine; choose a file instead.";
const REASONS = {
  NotAllowedError: "Access to the microphone was denied; allow it for this page in the browser's settings, or choose a file.",
  NotFoundError: "No microphone was found; connect one, or choose a file.",
  NotReadableError: "The microphone is not available; close other programs that use it, or choose a file.",
};

export class Recorder extends EventTarget {
  #media = null;
  #asked = null; // identifies the pending request for the microphone

  get recording() {
    return this.#media !== null;
  }

  // Starts recording; throws a Refusal if there is no microphone. Dispatches "level" { seconds, level } while
  // recording and "recorded" { file, seconds } at the end. Stopping before access is granted records nothing.
  async start() {
    if (!isSecureContext) throw new Refusal(NOT_SECURE);
    if (!navigator.mediaDevices || !window.MediaRecorder) throw new Refusal(UNABLE);
    const asked = this.#asked = {};
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ audio: CONSTRAINTS });
    } catch (error) {
      throw new Refusal(REASONS[error.name] ?? `The microphone cannot be used: ${error.message}`);
    }
    if (this.#asked === asked) this.#record(stream);
    else release(stream);
  }

  stop() {
    this.#asked = null;
    if (this.#media?.state === "recording") this.#media.stop();
  }

  #record(stream) {
    const [kind, ending] = KINDS.find(([type]) => MediaRecorder.isTypeSupported(type)) ?? ["", "webm"];
    const context = new AudioContext();
    const analyser = new AnalyserNode(context, { fftSize: 4096 });
    const mono = new MediaStreamAudioDestinationNode(context, { channelCount: 1 }); // mixes any number of channels
    new MediaStreamAudioSourceNode(context, { mediaStream: stream }).connect(analyser).connect(mono);
    const media = new MediaRecorder(mono.stream, { mimeType: kind, audioBitsPerSecond: BITS_PER_S });
    const pieces = [];
    const began = performance.now();
    const passed = () => (performance.now() - began) / 1000;
    const timer = setInterval(() => {
      if (passed() >= LONGEST_S) this.stop();
      this.#tell("level", { seconds: passed(), level: peakOf(analyser) });
    }, EVERY_MS);
    media.ondataavailable = ({ data }) => pieces.push(data);
    media.onstop = () => {
      clearInterval(timer);
      release(stream);
      context.close();
      this.#media = null;
      const file = new File(pieces, `recording.${ending}`, { type: media.mimeType });
      this.#tell("recorded", { file, seconds: passed() });
    };
    this.#media = media;
    media.start();
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

function release(stream) {
  for (const track of stream.getTracks()) track.stop();
}

function peakOf(analyser) {
  const samples = new Float32Array(analyser.fftSize);
  analyser.getFloatTimeDomainData(samples);
  return samples.reduce((peak, sample) => Math.max(peak, Math.abs(sample)), 0);
}
