// @ts-check
import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { Playback } from "../../static/audio/playback.js";

const RATE = 24000;
const SMOOTH = 0.5 / (0.005 * RATE) + 1e-4; // the largest step between samples in a 5 ms fade from 0.5

/** @type {any[]} */
let reports = [];
/** @type {Playback} */
let playback;

beforeEach(() => {
  reports = [];
  playback = new Playback(RATE, (report) => reports.push(report));
});

const last = () => reports[reports.length - 1];
const load = (take = 1, rate = RATE) => playback.receive({ type: "load", take, rate });
const play = () => playback.receive({ type: "play" });
const audio = (/** @type {number} */ seconds, value = 0.5, take = 1, rate = RATE) =>
  playback.receive({ type: "audio", take, samples: new Int16Array(Math.round(seconds * rate)).fill(value * 32768) });
const complete = (take = 1) => playback.receive({ type: "end", take, complete: true });

/** Return what is heard during some seconds. @param {number} seconds */
function run(seconds) {
  const heard = new Float32Array(Math.ceil((seconds * RATE) / 128) * 128);
  for (let at = 0; at < heard.length; at += 128) playback.fill(heard.subarray(at, at + 128));
  return heard;
}
const loudest = (/** @type {Float32Array} */ heard) => heard.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
const steepest = (/** @type {Float32Array} */ heard) =>
  heard.reduce((most, value, at) => (at ? Math.max(most, Math.abs(value - heard[at - 1])) : 0), 0);

test("plays nothing until it is told to", () => {
  load();
  audio(1);
  assert.equal(loudest(run(0.3)), 0);
  assert.equal(last().state, "paused");
});

test("starts when 120 ms have arrived", () => {
  load();
  play();
  audio(0.1);
  assert.equal(loudest(run(0.02)), 0);
  audio(0.03);
  assert.ok(loudest(run(0.05)) > 0.49);
  assert.equal(last().state, "playing");
});

test("a short take starts when it is complete, and ends", () => {
  load();
  play();
  audio(0.05);
  complete();
  run(0.2);
  assert.deepEqual([last().state, last().position, last().underruns], ["ended", 0.05 * RATE, 0]);
});

test("an underrun fades, is counted, and raises the start level by half", () => {
  load();
  play();
  audio(0.2);
  const heard = run(0.4);
  assert.deepEqual([last().state, last().underruns], ["waiting", 1]);
  audio(0.15);
  assert.equal(loudest(run(0.02)), 0);
  audio(0.2);
  assert.ok(steepest(heard) < SMOOTH);
  run(0.1);
  assert.equal(last().state, "playing");
});

test("the learned start level is kept for the next take, the count of underruns is not", () => {
  load();
  play();
  audio(0.2);
  run(0.4);
  load(2);
  play();
  assert.equal(last().underruns, 0);
  audio(0.15, 0.5, 2);
  assert.equal(loudest(run(0.02)), 0);
});

test("repeated underruns delay speech only briefly", () => {
  load();
  play();
  for (let sentence = 0; sentence < 20; sentence++) {
    audio(0.3);
    let waited = 0;
    for (; last().state !== "playing" && waited < 10; waited += 0.05) run(0.05);
    assert.ok(waited <= 2, `${waited} s`);
    run(1);
  }
});

test("a pause is silent after a smooth 5 ms, and playing goes on where it was", () => {
  load();
  play();
  audio(3);
  run(0.5);
  playback.receive({ type: "pause" });
  const after = run(0.1);
  const sounding = after.findLastIndex((value) => value !== 0) + 1;
  assert.ok(sounding / RATE <= 0.006);
  assert.ok(steepest(after) < SMOOTH);
  const { position, state } = last();
  assert.equal(state, "paused");
  assert.ok(Math.abs(position / RATE - 0.5) < 0.02);
  play();
  run(0.5);
  assert.ok(Math.abs(last().position / RATE - 1) < 0.11);
});

test("seeks without a click, forward and back, and plays again from the beginning after the end", () => {
  load();
  play();
  audio(3);
  complete();
  const heard = [run(0.5)];
  playback.receive({ type: "seek", to: 2 * RATE });
  heard.push(run(0.2));
  assert.ok(last().position >= 2 * RATE);
  playback.receive({ type: "seek", to: 0 });
  heard.push(run(0.2));
  assert.ok(last().position < RATE);
  for (const part of heard) assert.ok(steepest(part) < 2 * SMOOTH);
  playback.receive({ type: "seek", to: 100 * RATE });
  run(0.1);
  assert.equal(last().state, "ended");
  play();
  run(0.2);
  assert.ok(last().position < RATE);
});

test("a cut before the position moves it back and waits for what follows", () => {
  load();
  play();
  audio(2);
  run(1);
  playback.receive({ type: "cut", take: 1, length: 0.5 * RATE });
  assert.equal(last().state, "waiting");
  audio(0.3, 0.25);
  assert.ok(Math.abs(loudest(run(0.2).subarray(1000)) - 0.25) < 0.01);
});

test("a cut behind the position is not heard", () => {
  load();
  play();
  audio(2);
  run(0.5);
  playback.receive({ type: "cut", take: 1, length: RATE });
  assert.equal(last().state, "playing");
});

test("late audio of another take is ignored", () => {
  load(1);
  load(2);
  play();
  audio(1, 0.5, 1);
  complete(2);
  assert.equal(loudest(run(0.5)), 0);
});

test("no audio is dropped however far ahead the server is", () => {
  load();
  play();
  for (let second = 0; second < 70; second++) audio(1, (second + 1) / 100);
  complete();
  const heard = run(71);
  for (let second = 0; second < 70; second++)
    assert.ok(Math.abs(heard[Math.round((second + 0.5) * RATE)] - (second + 1) / 100) < 1e-4);
  assert.equal(last().position, 70 * RATE);
});

test("resamples other rates and counts in their samples", () => {
  load(1, 16000);
  play();
  audio(1, 0.5, 1, 16000);
  complete();
  const sounding = run(1.2).reduce((count, value) => count + (value > 0 ? 1 : 0), 0);
  assert.ok(Math.abs(sounding / RATE - 1) < 0.01);
  assert.deepEqual([last().position, last().state], [16000, "ended"]);
});
