// @ts-check
// A part of a recording, mixed to mono, as a WAV file.

import { wavParts } from "../take/wav.js";

const LEAST_S = 0.5; // of what is kept

/**
 * Keep both ends of a part within a recording and apart, moving the end that was not moved last.
 * @param {number} from seconds
 * @param {number} to seconds
 * @param {number} duration seconds
 * @param {"from" | "to"} moved
 * @returns {[number, number]}
 */
export function within(from, to, duration, moved) {
  const least = Math.min(LEAST_S, duration);
  if (moved === "from") {
    from = Math.min(Math.max(0, from), duration - least);
    return [from, Math.min(duration, Math.max(to, from + least))];
  }
  to = Math.max(Math.min(duration, to), least);
  return [Math.max(0, Math.min(from, to - least)), to];
}

/**
 * Return the samples of a part, mixed to mono.
 * @param {Pick<AudioBuffer, "numberOfChannels" | "length" | "sampleRate" | "getChannelData">} buffer
 * @param {number} from seconds
 * @param {number} to seconds
 */
export function partOf(buffer, from, to) {
  const first = Math.round(from * buffer.sampleRate);
  const last = Math.min(buffer.length, Math.round(to * buffer.sampleRate));
  const samples = new Int16Array(Math.max(0, last - first));
  const mono = monoOf(buffer);
  for (let at = 0; at < samples.length; at++)
    samples[at] = Math.round(32767 * Math.min(1, Math.max(-1, mono(first + at))));
  return samples;
}

/**
 * Return a part as a file with the name of the whole.
 * @param {AudioBuffer} buffer
 * @param {number} from seconds
 * @param {number} to seconds
 * @param {string} name of the whole file
 */
export function fileOf(buffer, from, to, name) {
  const parts = wavParts(partOf(buffer, from, to), buffer.sampleRate);
  return new File(/** @type {BlobPart[]} */ (parts), `${name.replace(/\.[^.]*$/u, "")}.wav`, { type: "audio/wav" });
}

/**
 * Return a function that returns the mixed value at a sample, -1 to 1.
 * @param {Pick<AudioBuffer, "numberOfChannels" | "getChannelData">} buffer
 */
export function monoOf(buffer) {
  const channels = Array.from({ length: buffer.numberOfChannels }, (_, at) => buffer.getChannelData(at));
  return (/** @type {number} */ at) => {
    let mixed = 0;
    for (const channel of channels) mixed += channel[at] / channels.length;
    return mixed;
  };
}
