// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";

import { RateLimit } from "../../static/lib/rate-limit.js";

test("messages never come faster than the server allows", () => {
  const rate = new RateLimit();
  assert.equal(rate.waitMs(0), 0);
  rate.set(10, 0);
  let now = 0;
  const sent = [];
  for (let message = 0; message < 100; message++) {
    now += rate.waitMs(now);
    rate.count(now);
    sent.push(now);
  }
  for (const [at, time] of sent.entries())
    assert.ok(sent.filter((other) => other >= time && other < time + 1000).length <= 20, `from message ${at}`);
  assert.ok(sent[99] >= 9000);
});
