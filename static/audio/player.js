// Playback: an AudioContext with the player worklet and an analyser.

export class Player extends EventTarget {
  #context = null;
  #node = null;
  #starting = null;
  analyser = null;
  last = { handle: null, played: 0, buffered: 0, underruns: 0, state: "idle", level: 0 };
  received = 0;
  consumed = 0;

  // Returns why this browser cannot play, with advice; empty if it can.
  static obstacle() {
    if (!isSecureContext)
      return "Browsers play live audio only on pages served over https or from this machine; open this page that way.";
    return window.AudioWorkletNode ? "" : "This browser is too old to play live audio; use a newer one.";
  }

  // Starts playback; the first call must come from a click or key press. Returns the sample rate to request.
  // rates: the sample rates that the server supports, preferred first.
  async start(rates) {
    this.#starting ??= this.#open(rates);
    try {
      await this.#starting;
    } catch (error) {
      this.#starting = null; // allow another attempt
      throw error;
    }
    await this.#context.resume();
    return rates.includes(this.#context.sampleRate) ? this.#context.sampleRate : rates[0];
  }

  async #open(rates) {
    this.#context?.close();
    this.#context = new AudioContext({ sampleRate: rates[0], latencyHint: "interactive" });
    await this.#context.audioWorklet.addModule(new URL("player-worklet.js", import.meta.url));
    this.#node = new AudioWorkletNode(this.#context, "player", { numberOfInputs: 0, outputChannelCount: [1] });
    this.analyser = new AnalyserNode(this.#context, { fftSize: 1024, smoothingTimeConstant: 0.7 });
    this.#node.connect(this.analyser).connect(this.#context.destination);
    this.#node.port.onmessage = ({ data }) => this.#hear(data);
  }

  begin(handle, rate) {
    this.received = 0;
    this.consumed = 0;
    this.#node.port.postMessage({ type: "begin", handle, rate });
  }

  push(handle, samples) {
    this.received += samples.length;
    this.#node.port.postMessage({ type: "audio", handle, samples }, [samples.buffer]);
  }

  end(handle) {
    this.#node.port.postMessage({ type: "end", handle });
  }

  flush(handle) {
    this.#node?.port.postMessage({ type: "flush", handle });
  }

  // Seconds from a sample's leaving the worklet to its playback.
  get latency() {
    return this.#context?.outputLatency || this.#context?.baseLatency || 0;
  }

  get running() {
    return this.#context?.state === "running";
  }

  #hear(report) {
    this.last = report;
    this.consumed = report.played;
    this.dispatchEvent(new CustomEvent("report", { detail: report }));
  }
}
