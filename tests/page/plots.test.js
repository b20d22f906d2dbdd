// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";

import { duration, eventsOf, milliseconds, plotsOf, summaryOf, tableOf, valuesOf } from "../../static/server/plots.js";
import { Timeline } from "../../static/server/timeline.js";

/** Ten seconds of a server with one GPU, from a whole minute on. */
function tenSeconds() {
  const at = Array.from({ length: 10 }, (_, second) => second);
  const of = (/** @type {number} */ value) => at.map(() => value);
  const timeline = new Timeline(15);
  timeline.add({
    step_s: 1,
    started_at: 60_000,
    uptime_s: 9,
    at,
    first_audio_ms: { p50: at.map((s) => (s === 3 ? 12.34 : s === 5 ? 8 : null)), p95: of(20), p99: of(30) },
    contexts: at,
    queued: of(0),
    connections: of(2),
    devices: { gpu_0: { pressure: of(0.7), model: of(0.2), slots: of(0.3) } },
    events: [],
  });
  return timeline;
}

const GPU = { id: "gpu_0", name: "H100", memory: { model: 1 } };
const CPUS = ["cpu_0", "cpu_1"].map((id) => ({ id, name: "CPU", memory: { model: null } }));

test("workers on the CPU share a chart of memory, each GPU has its own", () => {
  const titles = plotsOf([...CPUS, GPU]).map(({ title }) => title);
  assert.deepEqual(titles, ["First audio", "Load", "Memory of the machine", "Memory of gpu_0, H100"]);
  assert.deepEqual(plotsOf([]).map(({ title }) => title), ["First audio", "Load"]);
});

test("model and slots are shown where they are known", () => {
  const labels = plotsOf([GPU])[2].series.map(({ label }) => label);
  assert.deepEqual(labels, ["In use", "Model", "Model and slots"]);
  assert.deepEqual(plotsOf(CPUS)[2].series.map(({ label }) => label), ["In use"]);
  const stacked = plotsOf([GPU])[2].series[2];
  assert.deepEqual(valuesOf(tenSeconds(), stacked), Array(10).fill(0.5));
});

test("a sentence tells the latest and the highest of each line", () => {
  const [first, load] = plotsOf([]);
  assert.equal(
    summaryOf(first, tenSeconds()),
    "First audio: p50 8 ms, at most 12 ms; p95 20 ms, at most 20 ms; p99 30 ms, at most 30 ms.",
  );
  assert.match(summaryOf(load, tenSeconds()), /^Load: Speaking 9, at most 9; Waiting 0, /u);
  assert.equal(summaryOf(first, new Timeline(15)), "First audio: nothing yet.");
});

test("the table has the highest value of each part, the latest first", () => {
  const [first] = plotsOf([]);
  assert.deepEqual(tableOf(first, tenSeconds(), 5), [
    { at: 60_010, values: [null, 20, 30] },
    { at: 60_005, values: [12.34, 20, 30] },
    { at: 60_000, values: [null, 20, 30] },
  ]);
});

test("a lost worker and its return are told as one", () => {
  const told = eventsOf([
    { at: 0, event: "server_started", device: null },
    { at: 5, event: "worker_lost", device: "cpu_0" },
    { at: 6, event: "worker_lost", device: "cpu_1" },
    { at: 6.25, event: "worker_ready", device: "cpu_0" },
  ]);
  assert.deepEqual(told.map(({ at }) => at), [6, 5, 0]);
  assert.match(told[0].text, /cpu_1 stopped; it is being restarted/u);
  assert.match(told[1].text, /cpu_0 stopped; it was ready again after 1\.3 s/u);
});

test("times read well", () => {
  assert.deepEqual([0, 0.4, 9.96, 12.5, 1234, 12_500].map(milliseconds), ["0 ms", "0.4 ms", "10.0 ms", "13 ms", "1.23 s", "12.5 s"]);
  assert.deepEqual([1.25, 59, 61, 3725, 200_000].map(duration), ["1.3 s", "59 s", "1 min 1 s", "1 h 2 min", "2 days"]);
});
