// @ts-check
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

const read = (/** @type {string} */ path) => readFileSync(new URL(path, import.meta.url), "utf8");

test("the types of elements are those of the page", () => {
  const [, declared] = read("types.d.ts").split("interface Elements {");
  const page = read("../../static/index.html");
  const pairs = [...declared.matchAll(/"([\w-]+)": HTML(\w+)Element;/g)];
  assert.ok(pairs.length > 10);
  for (const [, id, type] of pairs) assert.match(page, new RegExp(`<${type.toLowerCase()} (?:[^>]* )?id="${id}"`));
});
