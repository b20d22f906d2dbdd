// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";

import { linkOf, readLink } from "../../static/take/link.js";
import { DEFAULTS, settingsOf } from "../../static/take/settings.js";

const TEXT = `It's "quoted", 5 € & 🎉\nnext line \\ end.`;

test("a link carries text and settings there and back, and nothing else", () => {
  const settings = settingsOf({ voice: "kai", language: "pt-BR", speed: 1.25, tokens: true, rate: 7, options: { seed: 3 }, volume: 0.2 });
  const link = linkOf(TEXT, settings);
  assert.ok(!link.includes("volume"));
  const read = readLink(`#${link}`, settingsOf({ voice: "aria", pitch: 1.5, volume: 0.9 }));
  assert.equal(read?.text, TEXT);
  assert.deepEqual(read?.settings, { ...settings, volume: 0.9 });
  assert.equal(readLink("#other", DEFAULTS), null);
  assert.equal(readLink("", DEFAULTS), null);
  assert.equal(readLink("#speed=evil&text=x", DEFAULTS)?.settings.speed, 1);
});
