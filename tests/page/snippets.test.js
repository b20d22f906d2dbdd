// @ts-check
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";

import { snippetsOf } from "../../static/take/snippets.js";

const TEXT = `It's "quoted", 5 € & 🎉\nnext line \\ end.`;

/** @param {Partial<Settings>} settings */
function snippets(settings = {}, locked = false) {
  const all = { voice: "aria", language: "auto", speed: 1, pitch: 1, options: {}, ...settings };
  const list = snippetsOf({ text: TEXT, settings: all, address: "http://127.0.0.1:7860/tts/", locked });
  return Object.fromEntries(list.map(({ id, code, note }) => [id, { code, note }]));
}

test("the shell reads from curl's line what is to be spoken", () => {
  const { curl } = snippets({ speed: 1.5, options: { seed: 4 } });
  const script = `curl() { printf '%s\\0' "$@"; }\n${curl.code}`;
  const said = execFileSync("sh", ["-c", script], { encoding: "utf8" }).split("\0");
  assert.equal(said[0], "http://127.0.0.1:7860/tts/generate");
  const body = JSON.parse(said[said.indexOf("-d") + 1]);
  assert.deepEqual(body, { text: TEXT, voice_id: "aria", speed: 1.5, seed: 4, response_format: "mp3" });
});

test("the JavaScript is valid and sends the request", async () => {
  const { javascript } = snippets({ language: "de" }, true);
  /** @type {any[]} */
  const sent = [];
  class Socket {
    constructor(/** @type {string} */ url) {
      sent.push(url);
      setTimeout(() => /** @type {any} */ (this).onopen());
    }
    send(/** @type {string} */ message) {
      sent.push(JSON.parse(message));
    }
  }
  new Function("WebSocket", javascript.code)(Socket);
  await new Promise((resolve) => setTimeout(resolve, 5));
  assert.deepEqual(sent, [
    "ws://127.0.0.1:7860/tts/ws/speak",
    { type: "auth", key: "YOUR_KEY" },
    { type: "speak", text: TEXT, voice: "aria", language: "de" },
  ]);
});

test("the snippet for OpenAI's SDK says what its protocol lacks", () => {
  const { openai } = snippets({ pitch: 1.2, speed: 2, language: "fr", options: { seed: 1, top_k: 4 } });
  assert.match(openai.note, /does not take top_k\.$/);
  assert.match(openai.code, /"pitch": 1\.2/);
  assert.match(openai.code, /speed=2,/);
  assert.match(openai.code, /"language": "fr"/);
});
