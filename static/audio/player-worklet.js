// @ts-check
// The worklet that plays takes: Playback, on the audio thread.

import { Playback } from "./playback.js";

class PlayerProcessor extends AudioWorkletProcessor {
  constructor() {
    super();
    this.playback = new Playback(sampleRate, (report) =>
      this.port.postMessage({ ...report, time: currentTime, wall: Date.now() }),
    );
    this.port.onmessage = ({ data }) => this.playback.receive(data);
  }

  /** @param {Float32Array[][]} _inputs @param {Float32Array[][]} outputs */
  process(_inputs, [output]) {
    this.playback.fill(output[0]);
    for (let other = 1; other < output.length; other++) output[other].set(output[0]);
    return true;
  }
}

registerProcessor("player", PlayerProcessor);
