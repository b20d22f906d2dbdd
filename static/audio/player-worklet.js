// Plays one context at a time from a ring of samples.
//
// In:  {type: "begin", handle, rate}    start a context; its sample rate in Hz
//      {type: "audio", handle, samples} append samples, Float32Array
//      {type: "end", handle}            the context is complete
//      {type: "flush", handle}          fade out at once and discard the rest
// Out: {handle, played, buffered, underruns, state, level}, twenty times a second and when the state changes;
//      played and buffered in samples at the context's own rate. Flushed samples do not count as played.

const START_S = 0.12;
const GROWTH = 1.5;
const LONGEST_START_S = 1; // slow text also causes gaps, which no buffer prevents
const PATIENCE = 2; // play a buffer that has not reached the start level after this many times its duration
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

  // Enlarges the ring; samples are never dropped.
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
    this.tail = new Float32Array(0); // fade-out of the flushed context, mixed into what follows
    this.tailAt = 0;
    this.handle = null;
    this.step = 1;
    this.state = "idle"; // buffering, playing, stopping
    this.gain = 0;
    this.played = 0;
    this.ended = false;
    this.underruns = 0;
    this.startS = START_S;
    this.heldS = 0;
    this.reportIn = 0;
    this.port.onmessage = ({ data }) => this.hear(data);
  }

  get open() {
    return this.state === "buffering" || this.state === "playing";
  }

  hear(message) {
    if (message.type === "begin") this.begin(message);
    else if (message.handle !== this.handle || !this.open) return;
    else if (message.type === "audio") this.ring.write(message.samples);
    else if (message.type === "end") this.ended = true;
    else if (message.type === "flush") this.stop();
  }

  begin({ handle, rate }) {
    this.cut();
    this.handle = handle;
    this.rate = rate;
    this.step = rate / sampleRate;
    this.played = 0;
    this.ended = false;
    this.startS = START_S;
    this.become("buffering");
  }

  stop() {
    this.cut();
    this.become(this.tailAt < this.tail.length ? "stopping" : "idle");
  }

  // Empties the ring, keeping a fade-out of what was playing.
  cut() {
    if (this.state === "playing" && this.gain > 0) {
      const length = Math.min(Math.ceil(FADE_S * sampleRate), Math.floor(this.ring.available / this.step));
      this.tail = new Float32Array(length);
      this.tailAt = 0;
      for (let at = 0; at < length; at++) this.tail[at] = this.gain * (1 - (at + 1) / length) * this.next();
    }
    this.ring.clear();
    this.gain = 0;
  }

  next() {
    const sample = this.ring.next(this.step);
    this.played = this.ring.read;
    return sample;
  }

  become(state) {
    this.state = state;
    this.heldS = 0;
    this.report(0);
  }

  process(inputs, [output]) {
    const channel = output[0];
    const quantumS = channel.length / sampleRate;
    if (this.state === "buffering" && this.enough(quantumS)) this.become("playing");
    if (this.state === "playing") this.play(channel);
    this.addTail(channel);
    for (let other = 1; other < output.length; other++) output[other].set(channel);
    this.reportIn -= quantumS;
    if (this.reportIn <= 0 && this.state !== "idle") this.report(loudest(channel));
    return true;
  }

  enough(quantumS) {
    if (this.ended) return true;
    if (this.ring.available > 0) this.heldS += quantumS;
    return this.ring.available >= this.startS * this.rate || this.heldS >= PATIENCE * this.startS;
  }

  play(channel) {
    const slope = 1 / (FADE_S * sampleRate);
    for (let at = 0; at < channel.length; at++) {
      const left = this.ring.available / this.step;
      if (left <= 0) {
        this.runDry();
        return;
      }
      const fading = !this.ended && left * slope < 1;
      this.gain = fading ? Math.max(0, this.gain - slope) : Math.min(1, this.gain + slope);
      channel[at] = this.gain * this.next();
    }
  }

  addTail(channel) {
    if (this.tailAt >= this.tail.length) {
      if (this.state === "stopping") this.become("idle");
      return;
    }
    const length = Math.min(channel.length, this.tail.length - this.tailAt);
    for (let at = 0; at < length; at++) channel[at] += this.tail[this.tailAt++];
  }

  runDry() {
    this.gain = 0;
    if (this.ended) {
      this.become("idle");
      return;
    }
    this.underruns += 1;
    this.startS = Math.min(LONGEST_START_S, this.startS * GROWTH);
    this.become("buffering");
  }

  report(level) {
    this.reportIn = REPORT_S;
    this.port.postMessage({
      handle: this.handle,
      played: Math.floor(this.played),
      buffered: Math.floor(this.ring.available),
      underruns: this.underruns,
      state: this.state,
      level,
    });
  }
}

function loudest(channel) {
  let most = 0;
  for (const sample of channel) most = Math.max(most, Math.abs(sample));
  return most;
}

registerProcessor("player", Player);
