// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";

import { Backoff } from "../../static/lib/backoff.js";

test("delays double, are spread by half, and end at fifteen seconds", () => {
  const short = new Backoff(() => 0);
  const long = new Backoff(() => 1);
  assert.deepEqual([short.next(), short.next(), long.next(), long.next()], [250, 500, 750, 1500]);
  for (let time = 0; time < 10; time++) long.next();
  assert.equal(long.next(), 22_500);
  long.reset();
  assert.equal(long.next(), 750);
});
