// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";

import { Timeline } from "../../static/server/timeline.js";

const STARTED_AT = 1_700_000_000;

/**
 * An answer with a row for each of the given seconds, whose contexts count them.
 * @param {number[]} at
 * @param {{startedAt?: number, step?: number, events?: any[], devices?: string[]}} options
 * @returns {StatusHistory}
 */
function answer(at, { startedAt = STARTED_AT, step = 1, events = [], devices = ["cpu_0"] } = {}) {
  const column = at.map(() => 0.5);
  return {
    step_s: step,
    started_at: startedAt,
    uptime_s: at.at(-1) ?? 0,
    at,
    first_audio_ms: { p50: at.map(() => null), p95: at.map(() => null), p99: at.map(() => 7) },
    contexts: at,
    queued: column,
    connections: column,
    devices: Object.fromEntries(devices.map((id) => [id, { pressure: column, model: column, slots: column }])),
    events,
  };
}

/**
 * @param {number} first
 * @param {number} last
 */
const seconds = (first, last) => Array.from({ length: last - first + 1 }, (_, index) => first + index);

test("asks for everything first, then for what is new", () => {
  const timeline = new Timeline(15);
  assert.deepEqual(timeline.question, { type: "history", minutes: 15 });
  timeline.add(answer(seconds(1, 9)));
  assert.deepEqual(timeline.question, { type: "history", minutes: 15, since: 9 });
  timeline.add(answer([]));
  assert.deepEqual(timeline.question, { type: "history", minutes: 15, since: 9 });
  timeline.reconnected();
  assert.deepEqual(timeline.question, { type: "history", minutes: 15 });
});

test("joins answers without rows known already", () => {
  const timeline = new Timeline(15);
  timeline.add(answer(seconds(1, 5)));
  timeline.add(answer(seconds(6, 7)));
  timeline.reconnected();
  timeline.add(answer(seconds(1, 9)));
  assert.deepEqual(timeline.column("contexts"), seconds(1, 9));
  assert.deepEqual(timeline.column("at"), seconds(1, 9).map((at) => STARTED_AT + at));
  assert.deepEqual(timeline.column("p50"), Array(9).fill(null));
  assert.deepEqual(timeline.column("cpu_0 model"), Array(9).fill(0.5));
});

test("keeps what was before a restart, with a gap", () => {
  const timeline = new Timeline(15);
  timeline.add(answer(seconds(1, 3), { events: [{ at: 0, event: "server_started" }] }));
  timeline.reconnected();
  const later = { startedAt: STARTED_AT + 20, events: [{ at: 0, event: "server_started" }] };
  timeline.add(answer(seconds(1, 2), later));
  assert.deepEqual(timeline.column("contexts"), [1, 2, 3, null, 1, 2]);
  assert.deepEqual(timeline.column("at"), [1, 2, 3, 4, 21, 22].map((at) => STARTED_AT + at));
  assert.deepEqual(timeline.events.map(({ at }) => at), [STARTED_AT, STARTED_AT + 20]);
});

test("a clock that was set a little is no restart, and no row comes twice", () => {
  const timeline = new Timeline(15);
  timeline.add(answer(seconds(1, 5)));
  timeline.reconnected();
  timeline.add(answer(seconds(1, 6), { startedAt: STARTED_AT + 0.4 }));
  assert.deepEqual(timeline.column("contexts"), seconds(1, 6));
});

test("forgets what is older than its span", () => {
  const timeline = new Timeline(1);
  timeline.add(answer(seconds(1, 60), { events: [{ at: 5, event: "worker_lost", device: "cpu_0" }] }));
  assert.equal(timeline.events.length, 1);
  timeline.add(answer(seconds(61, 100)));
  assert.deepEqual(timeline.column("contexts"), seconds(40, 100));
  assert.equal(timeline.events.length, 0);
  for (const name of ["at", "p50", "contexts", "queued", "connections"]) assert.equal(timeline.column(name).length, 61, name);
});

test("a device that appears later has no values before", () => {
  const timeline = new Timeline(15);
  timeline.add(answer(seconds(1, 2)));
  timeline.add(answer(seconds(3, 4), { devices: ["cpu_0", "gpu_0"] }));
  assert.deepEqual(timeline.column("gpu_0 pressure"), [null, null, 0.5, 0.5]);
});

test("each event is told once", () => {
  const timeline = new Timeline(60);
  const lost = { at: 12.5, event: "worker_lost", device: "gpu_0" };
  timeline.add(answer([10], { step: 10, events: [lost] }));
  timeline.reconnected();
  timeline.add(answer([10, 20], { step: 10, events: [lost, { at: 14, event: "worker_ready", device: "gpu_0" }] }));
  assert.deepEqual(timeline.events.map(({ event }) => event), ["worker_lost", "worker_ready"]);
});
