// @ts-check
// A take: a text, the voice and options it is spoken with, and the sound and marks that have arrived.
//
// A take is filled by one context of the server after another. Each begins at an offset of the text; what was
// held from there on is dropped first, so that sound and marks always follow the text.

import { Emitter } from "../lib/emitter.js";
import { CodePoints } from "./code-points.js";
import { indexAt, markOver } from "./marks.js";
import { Pcm } from "./pcm.js";

const BACK_S = 1.5; // "previous" seeks to the sentence before within this time of a sentence's start

const WORD_UNITS = 100; // UTF-16 units searched for word boundaries on both sides

/** Events: "growth" (sound or marks were added), "cut" (sound was dropped), "end" (complete or broken off). */
export class Take extends Emitter {
  pcm = new Pcm();
  /** @type {Mark[]} */
  sentences = [];
  /** @type {Mark[]} */
  words = [];
  complete = false;
  mixed = false; // whether parts of it were spoken with other settings
  /** @type {Record<string, number>} times of the first sound and the server's metrics, in milliseconds */
  metrics = {};
  #part = { from: 0, base: 0 }; // of the context that is filling the take: text offset and first sample

  /** @param {string} text @param {Settings} settings @param {number} rate samples per second */
  constructor(text, settings, rate) {
    super();
    this.text = text;
    this.settings = settings;
    this.rate = rate;
    this.points = new CodePoints(text);
  }

  /** Samples that have arrived. */
  get length() {
    return this.pcm.length;
  }

  get seconds() {
    return this.pcm.length / this.rate;
  }

  /** Duration of the whole: exact when complete, estimated before that, null without an estimate. */
  get expectedSeconds() {
    if (this.complete) return this.seconds;
    const sentence = this.sentences[this.sentences.length - 1];
    const spoken = sentence ? sentence.start : 0;
    if (!sentence || !spoken) return null;
    return Math.max(this.seconds, (sentence.at / this.rate / spoken) * this.points.length);
  }

  /**
   * Begin a part: drop the sound and marks from a text offset on; the next context fills them again.
   * @param {number} offset
   */
  begin(offset) {
    const first = this.sentences.find((sentence) => sentence.end > offset);
    const inside = first !== undefined && first.start < offset;
    const kept = inside ? this.words.find((mark) => mark.start >= offset) : first;
    const base = offset === 0 ? 0 : (kept?.at ?? this.length);
    this.pcm.truncate(base);
    this.words = this.words.filter((mark) => mark.end <= offset && mark.at < base);
    this.sentences = this.sentences.filter((mark) => mark.start < offset);
    const last = this.sentences.at(-1);
    if (last) last.endAt = Math.min(last.endAt, base);
    if (last && inside) last.end = offset;
    this.complete = false;
    this.#part = { from: offset, base };
    this.emit("cut");
  }

  /** @param {Int16Array} samples */
  append(samples) {
    this.pcm.append(samples);
    this.emit("growth");
  }

  /** @param {{ start: number, end: number, first_sample: number }} sentence as the server tells it */
  addSentence({ start, end, first_sample: at }) {
    const { from, base } = this.#part;
    const before = this.sentences.at(-1);
    if (before && before.endAt === Infinity) before.endAt = base + at;
    this.sentences.push({ start: from + start, end: from + end, at: base + at, endAt: Infinity });
    this.emit("growth");
  }

  /** @param {{ start: number, end: number, start_ms: number, end_ms: number }[]} words as the server tells them */
  addWords(words) {
    const { from, base } = this.#part;
    const sample = (/** @type {number} */ ms) => base + Math.round((ms * this.rate) / 1000);
    for (const { start, end, start_ms: startMs, end_ms: endMs } of words)
      this.words.push({ start: from + start, end: from + end, at: sample(startMs), endAt: sample(endMs) });
    this.emit("growth");
  }

  /** Mark the take complete: all of its text has been spoken. */
  finish() {
    this.#closeLast();
    this.complete = true;
    this.emit("end");
  }

  /** Signal that the context that filled the take has ended early. */
  breakOff() {
    this.emit("end");
  }

  /** Return the text offset from which to speak on: the sentence that was broken off, or the next one. */
  get continuation() {
    if (this.complete) return this.points.length;
    const last = this.sentences.at(-1);
    return last ? last.start : this.#part.from;
  }

  /** Return the sentence at a sample. @param {number} sample */
  sentenceAt(sample) {
    return this.sentences[indexAt(this.sentences, sample)] ?? null;
  }

  /** Return the word at a sample, or the last one before it in its sentence. @param {number} sample */
  wordAt(sample) {
    const sentence = this.sentenceAt(sample);
    const word = this.words[indexAt(this.words, sample)] ?? null;
    return word && sentence && word.start >= sentence.start && word.end <= sentence.end ? word : null;
  }

  /** Return the first sample of a text offset; null if its sound has not arrived. @param {number} offset */
  sampleOf(offset) {
    const mark = markOver(this.words, offset);
    const sentence = markOver(this.sentences, offset);
    if (mark && mark.at < this.length && (!sentence || mark.start < sentence.end)) return mark.at;
    return sentence && sentence.start <= offset && sentence.at < this.length && !this.words.length ? sentence.at : null;
  }

  /** Return the offset at which the word around an offset begins. @param {number} offset */
  wordStart(offset) {
    const unit = this.points.toUnits(offset);
    const from = Math.max(0, unit - WORD_UNITS);
    const around = this.text.slice(from, unit + WORD_UNITS);
    const word = new Intl.Segmenter(undefined, { granularity: "word" }).segment(around).containing(unit - from);
    return word ? this.points.toPoints(from + word.index) : offset;
  }

  /** Return the first sample of the next sentence; null if it has not arrived. @param {number} sample */
  next(sample) {
    const next = this.sentences[indexAt(this.sentences, sample) + 1];
    return next && next.at < this.length ? next.at : null;
  }

  /** Return the sample to which "previous sentence" seeks. @param {number} sample */
  previous(sample) {
    const at = indexAt(this.sentences, sample);
    const sentence = this.sentences[at];
    if (!sentence) return 0;
    if (sample - sentence.at > BACK_S * this.rate || at === 0) return sentence.at;
    return this.sentences[at - 1].at;
  }

  /**
   * Return the first sample of the previous (-1) or next (1) word; null if it has not arrived.
   * @param {number} sample
   * @param {-1 | 1} step
   */
  wordStep(sample, step) {
    const word = this.words[Math.max(0, indexAt(this.words, sample) + step)];
    return word && word.at < this.length ? word.at : null;
  }

  #closeLast() {
    const last = this.sentences.at(-1);
    if (last && last.endAt === Infinity) last.endAt = this.length;
  }
}
