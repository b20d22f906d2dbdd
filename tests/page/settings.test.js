// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";

import { DEFAULTS, SPEEDS, factorAt, positionOf, sameSpeech, settingsOf, speechOf } from "../../static/take/settings.js";

test("what is wrong in kept settings takes its default", () => {
  const settings = settingsOf({ voice: 5, speed: 9, pitch: "x", language: "<b>", options: { seed: -1, top_k: 50 }, rate: 30 });
  assert.deepEqual(settings, { ...DEFAULTS, options: { top_k: 50 }, rate: 30 });
  for (const raw of [null, undefined, 7, "x", []]) assert.deepEqual(settingsOf(raw), DEFAULTS);
});

test("the slider holds at 1 and reaches its ends", () => {
  assert.equal(factorAt(0.02, SPEEDS), 1);
  assert.equal(factorAt(1, SPEEDS), SPEEDS.max);
  assert.equal(factorAt(-1, SPEEDS), SPEEDS.min);
  for (const speed of SPEEDS.presets) assert.equal(factorAt(positionOf(speed, SPEEDS), SPEEDS), speed);
});

test("an option takes every value that the server allows", () => {
  const options = { temperature: 0, top_p: 1, seed: 0 };
  assert.deepEqual(settingsOf({ options }).options, options);
});

test("only options of the engine are sent", () => {
  const settings = settingsOf({ voice: "aria", language: "de", pitch: 1.2, options: { seed: 1, top_k: 5 } });
  assert.deepEqual(speechOf(settings, ["seed", "speed"]), { voice: "aria", language: "auto", speed: 1, pitch: 1, options: { seed: 1 } });
  assert.ok(sameSpeech(speechOf(settings, []), speechOf(settingsOf({ voice: "aria" }), [])));
});
