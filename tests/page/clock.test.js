// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";

import { heardAt } from "../../static/audio/clock.js";

const CLOCKS = { now: 5000, delay: 0, currentTime: 10, latency: 0.25, stamp: {} };

test("a sample is heard when the device's time stamp says", () => {
  const stamp = { performanceTime: 4000, contextTime: 9 };
  assert.equal(heardAt(10.02, { ...CLOCKS, stamp }), 5020);
});

test("without a time stamp, the latency is added to the time it left the worklet", () => {
  assert.equal(heardAt(9.875, CLOCKS), 5125);
  assert.equal(heardAt(9.875, { ...CLOCKS, stamp: { performanceTime: 0, contextTime: 0 } }), 5125);
});

test("a sample is not heard before it left the worklet, whenever the message is handled", () => {
  const stamp = { performanceTime: 1, contextTime: 10 };
  assert.equal(heardAt(10, { ...CLOCKS, stamp }), 5000);
  assert.equal(heardAt(10, { ...CLOCKS, delay: 700, stamp }), 4300);
  assert.equal(heardAt(10, { ...CLOCKS, delay: -3, stamp }), 5000); // the wall clock was set
});
