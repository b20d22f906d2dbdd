// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";

import { CodePoints } from "../../static/take/code-points.js";
import { Pcm } from "../../static/take/pcm.js";
import { Peaks } from "../../static/take/peaks.js";
import { cuesOf, srtOf, vttOf } from "../../static/take/subtitles.js";
import { Take } from "../../static/take/take.js";
import { wavParts } from "../../static/take/wav.js";

const RATE = 1000;
const SETTINGS = { voice: "aria", language: "auto", speed: 1, pitch: 1, options: {} };
const TEXT = "One two. Three four. Five six.";

/** A take of three sentences of two words; a second each, half a second a word. */
function spoken() {
  const take = new Take(TEXT, SETTINGS, RATE);
  take.begin(0);
  speak(take, 0, [
    [0, 8],
    [9, 20],
    [21, 30],
  ]);
  return take;
}

/**
 * Speak sentences as the server does, a second each.
 * @param {Take} take
 * @param {number} from offset of what was sent
 * @param {number[][]} sentences offsets in the text
 */
function speak(take, from, sentences) {
  sentences.forEach(([start, end], index) => {
    take.addSentence({ start: start - from, end: end - from, first_sample: index * RATE });
    const middle = TEXT.indexOf(" ", start);
    take.addWords([
      { start: start - from, end: middle - from, start_ms: 1000 * index, end_ms: 1000 * index + 500 },
      { start: middle + 1 - from, end: end - from, start_ms: 1000 * index + 500, end_ms: 1000 * index + 1000 },
    ]);
    take.append(new Int16Array(RATE).fill(index + 1));
  });
}

test("PCM grows over its blocks, is cut, and is read in any part", () => {
  const pcm = new Pcm();
  const samples = Int16Array.from({ length: 200_000 }, (_, at) => at % 30_000);
  for (let at = 0; at < samples.length; at += 7001) pcm.append(samples.subarray(at, at + 7001));
  assert.equal(pcm.length, samples.length);
  assert.deepEqual(pcm.slice(65_530, 65_545), samples.slice(65_530, 65_545));
  assert.deepEqual(pcm.slice(), samples);
  assert.equal(pcm.slice(199_990, 300_000).length, 10);
  assert.deepEqual(Int16Array.from(pcm.parts().flatMap((part) => [...part])), samples);
  pcm.truncate(65_536);
  pcm.append(new Int16Array([-5]));
  assert.equal(pcm.length, 65_537);
  assert.deepEqual([...pcm.slice(65_535)], [65_535 % 30_000, -5]);
});

test("offsets are translated between code points and UTF-16", () => {
  const text = "a🎉b🎈🎈c";
  const points = new CodePoints(text);
  assert.equal(points.length, 6);
  let unit = 0;
  Array.from(text).forEach((character, point) => {
    assert.equal(points.toUnits(point), unit);
    assert.equal(points.toPoints(unit), point);
    unit += character.length;
  });
  assert.equal(points.toUnits(6), text.length);
});

test("knows the word and the sentence of a sample, and the sample of a word", () => {
  const take = spoken();
  assert.equal(take.sentenceAt(1200)?.start, 9);
  assert.equal(TEXT.slice(take.wordAt(1600)?.start, take.wordAt(1600)?.end), "four.");
  assert.equal(take.sampleOf(16), 1500);
  assert.equal(take.sampleOf(9), 1000);
  assert.equal(take.sampleOf(8), 1000); // between two words: the next
  assert.equal(new Take(TEXT, SETTINGS, RATE).sampleOf(0), null);
});

test("finds where a word begins, also where no spaces stand between words", () => {
  const take = new Take("Say 🎉 isn't it. 今日は良い天気です。", SETTINGS, RATE);
  assert.equal(take.wordStart(9), 6);
  assert.equal(take.wordStart(1), 0);
  assert.equal(take.wordStart(17), 16);
});

test("skips sentences and words; 'previous' first goes to the beginning of this one", () => {
  const take = spoken();
  assert.equal(take.next(500), 1000);
  assert.equal(take.next(2500), null);
  assert.equal(take.previous(2900), 1000); // it began less than 1.5 s ago
  assert.equal(take.previous(100), 0);
  assert.equal(take.wordStep(1600, 1), 2000);
  assert.equal(take.wordStep(1600, -1), 1000);
});

test("'previous' goes to the beginning of a sentence that is well under way", () => {
  const take = new Take("A long one. Next.", SETTINGS, RATE);
  take.begin(0);
  take.addSentence({ start: 0, end: 11, first_sample: 0 });
  take.append(new Int16Array(4000));
  take.addSentence({ start: 12, end: 17, first_sample: 4000 });
  take.append(new Int16Array(4000));
  assert.equal(take.previous(7000), 4000);
});

test("what was broken off goes on from the sentence that is not whole", () => {
  const take = new Take(TEXT, SETTINGS, RATE);
  take.begin(0);
  speak(take, 0, [
    [0, 8],
    [9, 20],
  ]);
  take.breakOff();
  assert.equal(take.complete, false);
  assert.equal(take.continuation, 9);
  assert.equal(take.length, 2000); // all that arrived is kept until the rest comes
  take.begin(take.continuation);
  assert.equal(take.length, 1000);
  speak(take, 9, [
    [9, 20],
    [21, 30],
  ]);
  take.finish();
  assert.equal(take.length, 3000);
  assert.deepEqual(
    take.sentences.map(({ start, at }) => [start, at]),
    [
      [0, 0],
      [9, 1000],
      [21, 2000],
    ],
  );
  assert.deepEqual(
    take.words.map(({ at }) => at),
    [0, 500, 1000, 1500, 2000, 2500],
  );
});

test("a part that begins within a sentence keeps the sound of the words before it", () => {
  const take = spoken();
  take.begin(15);
  assert.equal(take.length, 1500);
  assert.deepEqual(take.words.map(({ start }) => start), [0, 4, 9]);
  assert.equal(take.sentences.at(-1)?.end, 15);
});

test("a text with nothing spoken yet begins at its beginning", () => {
  const take = new Take(TEXT, SETTINGS, RATE);
  take.begin(0);
  take.breakOff();
  assert.equal(take.continuation, 0);
});

test("expects the whole to last as long as the text before lets it", () => {
  const take = new Take(TEXT, SETTINGS, RATE);
  take.begin(0);
  assert.equal(take.expectedSeconds, null);
  speak(take, 0, [
    [0, 8],
    [9, 20],
  ]);
  assert.ok(Math.abs((take.expectedSeconds ?? 0) - 30 / 9) < 0.01);
  take.finish();
  assert.equal(take.expectedSeconds, 2);
});

test("tells of growth, cuts and the end", () => {
  const take = new Take(TEXT, SETTINGS, RATE);
  /** @type {string[]} */
  const told = [];
  for (const type of ["growth", "cut", "end"]) take.addEventListener(type, () => told.push(type));
  take.begin(0);
  take.append(new Int16Array(1));
  take.finish();
  assert.deepEqual(told, ["cut", "growth", "end"]);
});

test("peaks follow growth and cuts", () => {
  const take = new Take(TEXT, SETTINGS, RATE);
  const peaks = new Peaks(take);
  take.append(new Int16Array(1000).fill(16_384));
  peaks.update();
  assert.equal(peaks.bins.length, 50);
  assert.ok(Math.abs(peaks.between(0, 1000) - 0.5) < 0.01);
  take.begin(0);
  take.append(new Int16Array(30).fill(-32_768));
  peaks.update();
  assert.equal(peaks.bins.length, 2);
  assert.ok(peaks.between(0, 20) >= 1);
});

test("a WAV file has the length, the rate and the samples", () => {
  const [header, samples] = wavParts(new Int16Array([1, 2, 3]), 24_000);
  const view = new DataView(header);
  assert.equal(new TextDecoder().decode(header).slice(0, 4), "RIFF");
  assert.equal(view.getUint32(4, true), 36 + 6);
  assert.equal(view.getUint32(24, true), 24_000);
  assert.equal(view.getUint32(40, true), samples.byteLength);
});

test("subtitles have a cue a sentence, and divide long ones between words", () => {
  const take = spoken();
  take.finish();
  const cues = cuesOf(take);
  assert.deepEqual(cues[1], { start: 1, end: 2, text: "Three four." });
  assert.equal(srtOf(cues).split("\n\n")[0], "1\n00:00:00,000 --> 00:00:01,000\nOne two.");
  assert.ok(vttOf([{ start: 3661.5, end: 3662, text: "a < b & c" }]).includes("01:01:01.500 --> 01:01:02.000\na &lt; b &amp; c"));

  const words = Array.from({ length: 40 }, (_, at) => `word${at}`);
  const long = new Take(words.join(" "), SETTINGS, RATE);
  long.begin(0);
  long.addSentence({ start: 0, end: long.points.length, first_sample: 0 });
  let start = 0;
  words.forEach((word, at) => {
    long.addWords([{ start, end: start + word.length, start_ms: 100 * at, end_ms: 100 * at + 100 }]);
    start += word.length + 1;
  });
  long.append(new Int16Array(4000));
  long.finish();
  const parts = cuesOf(long);
  assert.ok(parts.length > 2);
  assert.ok(parts.every(({ text }) => text.length <= 84));
  assert.equal(parts.map(({ text }) => text).join(" "), long.text);
  assert.equal(parts.at(-1)?.end, 4);
});
