// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";

import { freeName, idOf, nameOf } from "../../static/voices/names.js";

test("names keep letters of every script and lose what the server refuses", () => {
  assert.equal(nameOf("  ..Ann / at <home>! "), "Ann at home");
  assert.equal(nameOf("Zoë-Жанна_01.a"), "Zoë-Жанна_01.a");
  assert.equal(nameOf("x".repeat(99)).length, 64);
  assert.equal(nameOf("///"), "");
});

test("ids are lower case, without spaces", () => {
  assert.equal(idOf("Ann at Home"), "ann-at-home");
});

test("a taken name gets a number", () => {
  assert.equal(freeName("ann.wav", {}), "ann");
  assert.equal(freeName("ann.wav", { ann: 1, "ann-2": 1 }), "ann-3");
  assert.equal(freeName("?.wav", { sample: 1 }), "sample-2");
  assert.ok(freeName("x".repeat(99), { ["x".repeat(64)]: 1 }).length <= 64);
});
