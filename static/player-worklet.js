// Plays one context at a time from a ring of samples.
//
// In:  {type: "begin", handle, rate}   what follows is of this context, at this rate in Hz
//      {type: "audio", handle, samples} the next of it, Float32Array
//      {type: "end", handle}            nothing more of it will come
//      {type: "flush", handle}          silence now, with a short fade; the rest of it is dropped
// Out: {handle, played, buffered, underruns, state, level}, twenty times a second and when the state changes;
//      played and buffered in samples of the context at its own rate.

const START_S = 0.12;
const GROWTH = 1.5;
const FADE_S = 0.005;
const REPORT_S = 0.05;
const RING_S = 16;

class Ring {
  constructor(capacity) {
    this.samples = new Float32Array(capacity);
    this.clear();
  }

  clear() {
    this.written = 0;
    this.read = 0; // may lie between two samples
  }

  get available() {
    return this.written - this.read;
  }

  write(samples) {
    const first = Math.floor(this.read);
    if (this.written - first + samples.length > this.samples.length) this.grow(first, samples.length);
    const size = this.samples.length;
    const at = this.written % size;
    const head = Math.min(samples.length, size - at);
    this.samples.set(samples.subarray(0, head), at);
    this.samples.set(samples.subarray(head), 0);
    this.written += samples.length;
  }

  // Never drops: what does not fit gets a larger ring.
  grow(first, more) {
    const old = this.samples;
    this.samples = new Float32Array(2 * Math.max(old.length, this.written - first + more));
    for (let at = first; at < this.written; at++) this.samples[at % this.samples.length] = old[at % old.length];
  }

  next(step) {
    const size = this.samples.length;
    const before = Math.floor(this.read);
    const share = this.read - before;
    const here = this.samples[before % size];
    const after = before + 1 < this.written ? this.samples[(before + 1) % size] : here;
    this.read = Math.min(this.written, this.read + step);
    return here + share * (after - here);
  }
}

class Player extends AudioWorkletProcessor {
  constructor() {
    super();
    this.ring = new Ring(RING_S * sampleRate);
    this.handle = null;
    this.step = 1;
    this.state = "idle";
    this.gain = 0;
    this.ended = false;
    this.underruns = 0;
    this.startS = START_S;
    this.reportIn = 0;
    this.port.onmessage = ({ data }) => this.hear(data);
  }

  hear(message) {
    if (message.type === "begin") this.begin(message);
    else if (message.handle !== this.handle) return;
    else if (message.type === "audio" && this.state !== "stopping") this.ring.write(message.samples);
    else if (message.type === "end") this.ended = true;
    else if (message.type === "flush") this.become(this.state === "playing" ? "stopping" : this.drop());
  }

  begin({ handle, rate }) {
    this.ring.clear();
    this.handle = handle;
    this.rate = rate;
    this.step = rate / sampleRate;
    this.ended = false;
    this.gain = 0;
    this.startS = START_S;
    this.become("buffering");
  }

  drop() {
    this.ring.read = this.ring.written;
    this.gain = 0;
    return "idle";
  }

  become(state) {
    this.state = state;
    this.report(0);
  }

  process(inputs, [output]) {
    const channel = output[0];
    if (this.state === "buffering" && this.ring.available >= this.needed()) this.become("playing");
    let loudest = 0;
    if (this.state === "playing" || this.state === "stopping") loudest = this.play(channel);
    for (let other = 1; other < output.length; other++) output[other].set(channel);
    this.reportIn -= channel.length / sampleRate;
    if (this.reportIn <= 0 && this.state !== "idle") this.report(loudest);
    return true;
  }

  needed() {
    return this.ended ? Math.min(1, this.ring.written) : this.startS * this.rate;
  }

  play(channel) {
    const slope = 1 / (FADE_S * sampleRate);
    let loudest = 0;
    for (let at = 0; at < channel.length; at++) {
      const left = this.ring.available / this.step;
      if (left <= 0 || (this.state === "stopping" && this.gain <= 0)) {
        this.runDry();
        break;
      }
      const fading = this.state === "stopping" || (!this.ended && left * slope < 1);
      this.gain = fading ? Math.max(0, this.gain - slope) : Math.min(1, this.gain + slope);
      channel[at] = this.gain * this.ring.next(this.step);
      loudest = Math.max(loudest, Math.abs(channel[at]));
    }
    return loudest;
  }

  runDry() {
    if (this.state === "stopping" || this.ended) {
      this.become(this.drop());
      return;
    }
    this.underruns += 1;
    this.startS *= GROWTH;
    this.gain = 0;
    this.become("buffering");
  }

  report(level) {
    this.reportIn = REPORT_S;
    this.port.postMessage({
      handle: this.handle,
      played: Math.floor(this.ring.read),
      buffered: Math.floor(this.ring.available),
      underruns: this.underruns,
      state: this.state,
      level,
    });
  }
}

registerProcessor("player", Player);
