// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";

import { clockOf } from "../../static/take/duration.js";

test("times are read as clocks", () => {
  assert.deepEqual([0, 5.9, 64, 3729].map(clockOf), ["0:00", "0:05", "1:04", "1:02:09"]);
});
