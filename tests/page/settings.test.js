// @ts-check
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";

import { Backoff } from "../../static/lib/backoff.js";
import { RateLimit } from "../../static/lib/rate-limit.js";
import { Store } from "../../static/lib/store.js";
import { piecesOf, tokensOf } from "../../static/speech/pieces.js";
import { clockOf } from "../../static/take/duration.js";
import { linkOf, readLink } from "../../static/take/link.js";
import { DEFAULTS, SPEEDS, factorAt, positionOf, sameSpeech, settingsOf, speechOf } from "../../static/take/settings.js";
import { snippetsOf } from "../../static/take/snippets.js";
import { firstSoundMs, stagesOf } from "../../static/take/stages.js";

const TEXT = `It's "quoted", 5 € & 🎉\nnext line \\ end.`;

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

test("stages add up from the click to the first sound", () => {
  const metrics = { clicked: 100, device: 130, sent: 102, arrived: 122, heard: 160, queue_ms: 2, first_audio_ms: 12 };
  const stages = stagesOf(metrics);
  assert.deepEqual(
    stages.map(({ name, start, ms }) => [name, start, ms]),
    [
      ["Audio device", 0, 30],
      ["Network", 2, 8],
      ["Queue", 10, 2],
      ["Synthesis", 12, 10],
      ["Buffer", 22, 38],
    ],
  );
  assert.equal(firstSoundMs(metrics), 60);
  assert.equal(stagesOf({ ...metrics, tokens: 5 })[1].name, "Text and network"); // their typing takes time as well
  const [server, ...others] = stagesOf({ clicked: 0, sent: 2, arrived: 20 });
  assert.deepEqual([server.name, server.start, server.ms, others.length], ["Server", 2, 18, 0]);
  assert.doesNotMatch(server.about, /way/);
  assert.deepEqual(stagesOf({}), []);
  assert.equal(firstSoundMs({ clicked: 1 }), null);
});

test("a text is cut into messages the server accepts, and into tokens, without loss", () => {
  const text = "🎉".repeat(1000) + TEXT;
  const pieces = piecesOf(text, { text_characters: 300, message_bytes: 1000 });
  assert.equal(pieces.join(""), text);
  assert.ok(pieces.every((piece) => new TextEncoder().encode(JSON.stringify(piece)).length < 1000));
  assert.equal(tokensOf(TEXT).join(""), TEXT);
  assert.equal(tokensOf(" \n ").join(""), " \n ");
});

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

test("delays double, are spread by half, and end at fifteen seconds", () => {
  const short = new Backoff(() => 0);
  const long = new Backoff(() => 1);
  assert.deepEqual([short.next(), short.next(), long.next(), long.next()], [250, 500, 750, 1500]);
  for (let time = 0; time < 10; time++) long.next();
  assert.equal(long.next(), 22_500);
  long.reset();
  assert.equal(long.next(), 750);
});

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

test("times are read as clocks", () => {
  assert.deepEqual([0, 5.9, 64, 3729].map(clockOf), ["0:00", "0:05", "1:04", "1:02:09"]);
});
