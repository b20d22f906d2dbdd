// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";

import { partOf, within } from "../../static/voices/cut.js";

/** @param {number[][]} channels */
function buffer(...channels) {
  const data = channels.map((channel) => Float32Array.from(channel));
  return {
    numberOfChannels: data.length,
    length: data[0].length,
    sampleRate: 10,
    getChannelData: (/** @type {number} */ at) => data[at],
  };
}

test("the end that was moved keeps its place, the other makes room", () => {
  assert.deepEqual(within(2, 5, 6, "from"), [2, 5]);
  assert.deepEqual(within(4.9, 5, 6, "from"), [4.9, 5.4]);
  assert.deepEqual(within(5.9, 6, 6, "from"), [5.5, 6]);
  assert.deepEqual(within(2, 2.1, 6, "to"), [1.6, 2.1]);
  assert.deepEqual(within(2, 0.1, 6, "to"), [0, 0.5]);
  assert.deepEqual(within(2, 99, 6, "to"), [2, 6]);
  assert.deepEqual(within(0.1, 0.2, 0.2, "from"), [0, 0.2]);
});

test("a part has the samples between its ends", () => {
  assert.deepEqual([...partOf(buffer([0, 0.5, 1, -1, 0.25, 0]), 0.1, 0.4)], [16384, 32767, -32767]);
  assert.equal(partOf(buffer([0, 0.5, 1]), 0, 99).length, 3);
});

test("channels are mixed, and what is too loud is clipped", () => {
  assert.deepEqual([...partOf(buffer([1, 2], [0, 2]), 0, 1)], [16384, 32767]);
});
