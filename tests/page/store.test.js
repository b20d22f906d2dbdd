// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";

import { Store } from "../../static/lib/store.js";

test("the store calls those who watch what changed", () => {
  const store = new Store({ one: 1, two: 2 });
  /** @type {number[]} */
  const seen = [];
  store.watch(["one"], ({ one }) => seen.push(one));
  store.set({ two: 3 });
  store.set({ one: 1 });
  store.set({ one: 5 });
  assert.deepEqual(seen, [1, 5]);
});
