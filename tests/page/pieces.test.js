// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";

import { piecesOf, tokensOf } from "../../static/speech/pieces.js";

const TEXT = `It's "quoted", 5 € & 🎉\nnext line \\ end.`;

test("a text is cut into messages the server accepts, and into tokens, without loss", () => {
  const text = "🎉".repeat(1000) + TEXT;
  const pieces = piecesOf(text, { text_characters: 300, message_bytes: 1000 });
  assert.equal(pieces.join(""), text);
  assert.ok(pieces.every((piece) => new TextEncoder().encode(JSON.stringify(piece)).length < 1000));
  assert.equal(tokensOf(TEXT).join(""), TEXT);
  assert.equal(tokensOf(" \n ").join(""), " \n ");
});
