// @ts-check
import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { Emitter } from "../../static/lib/emitter.js";
import { Store } from "../../static/lib/store.js";
import { Take } from "../../static/take/take.js";

// Checked with the page itself: beside Node's types, a timer is not the number that it is in a browser.
const page = "../../static/speech";
const { Contexts } = await import(`${page}/contexts.js`);
const { Speaker } = await import(`${page}/speaker.js`);

const SETTINGS = { voice: "aria", language: "auto", speed: 1, pitch: 1, options: {} };
const LIMITS = { text_characters: 1000, message_bytes: 65_536, messages_per_second: 50 };

/** A connection whose messages are kept. */
class Channel extends Emitter {
  /** @type {any[]} */
  sent = [];

  send(/** @type {object} */ message) {
    this.sent.push(message);
  }

  drop() {}
}

/** A player of which nothing is heard. */
class Player extends Emitter {
  /** @type {Take | null} */
  take = null;
  state = "paused";
  position = 0;
  active = false;

  load(/** @type {Take | null} */ take) {
    this.take = take;
  }

  pause() {
    this.active = false;
  }
}

/** @type {Store<any>} */
let store;
/** @type {Player} */
let player;
/** @type {Channel} */
let channel;
/** @type {InstanceType<typeof Contexts>} */
let contexts;
/** @type {string[]} */
let toasts;
/** @type {InstanceType<typeof Speaker>} */
let speaker;
/** @type {Take} */
let take;

beforeEach(() => {
  channel = new Channel();
  store = new Store({ connection: "online", ready: { cost: "low", limits: LIMITS } });
  contexts = new Contexts(/** @type {any} */ ({ speakChannel: channel, store }));
  toasts = [];
  const toast = { show: (/** @type {string} */ message) => toasts.push(message), hide() {} };
  player = new Player();
  speaker = new Speaker(/** @type {any} */ ({ player, store, contexts, toast }));
  take = new Take("One is first. Two is second.", SETTINGS, 1000);
});

const started = () => channel.sent.filter(({ type }) => type === "start").map(({ context }) => context);
const cancelled = () => channel.sent.filter(({ type }) => type === "cancel").map(({ context }) => context);

test("a context that somebody else opened goes on when its take is put away", () => {
  const lent = contexts.open(take);
  speaker.load(take, lent);
  speaker.load(null);
  assert.equal(lent.ended, false);
  assert.deepEqual(cancelled(), []);
});

test("to stop ends the context, whoever opened it", () => {
  const lent = contexts.open(take);
  speaker.load(take, lent);
  speaker.stop();
  assert.equal(lent.ended, true);
  assert.deepEqual(cancelled(), [lent.name]);
});

test("a take that is spoken anew from a word is filled by one context only", () => {
  const lent = contexts.open(take);
  speaker.load(take, lent);
  lent.receive({ type: "sentence", start: 0, end: 13, first_sample: 0 });
  lent.receiveAudio(new Int16Array(100));
  speaker.next();
  assert.deepEqual(cancelled(), [lent.name]);
  assert.deepEqual(started(), [lent.name, "page-2"]);
});

test("a new connection ends what the one before was speaking", () => {
  const context = contexts.open(take);
  speaker.load(take, context);
  channel.emit("ready");
  assert.equal(context.ended, true);
  assert.deepEqual(cancelled(), []);
});

test("a kept take that another engine spoke goes on as it is", () => {
  store.set({ ready: { cost: "low", limits: LIMITS, options: ["speed"] } });
  const kept = new Take(take.text, { ...SETTINGS, pitch: 1.2, options: { seed: 7 } }, 1000);
  kept.addSentence({ start: 0, end: 13, first_sample: 0 });
  kept.append(new Int16Array(2000));
  kept.finish();
  speaker.load(kept);
  player.active = true;
  player.position = 100;
  speaker.change(SETTINGS); // those of the page, which leave out what this engine does not have
  assert.deepEqual(started(), []);
});

const leads = () => channel.sent.filter(({ type }) => type === "start").map(({ max_lead_ms: lead }) => lead);

test("a cheap engine is asked for everything, without telling it how far playback is", () => {
  speaker.load(take);
  player.active = true;
  player.emit("change");
  player.emit("report");
  assert.deepEqual(leads(), [30 * 60_000]);
  assert.deepEqual(channel.sent.filter(({ type }) => type === "played"), []);
});

test("a costly engine is asked for a minute ahead of what is heard, and for the rest when half a minute is left", (t) => {
  t.mock.method(performance, "now", () => 10_000);
  store.set({ ready: { cost: "high", limits: LIMITS } });
  take.addSentence({ start: 0, end: 13, first_sample: 0 });
  take.addSentence({ start: 14, end: 28, first_sample: 59 * take.rate });
  take.append(new Int16Array(60 * take.rate));
  speaker.load(take);
  player.active = true;
  player.position = 20 * take.rate;
  player.emit("report");
  assert.deepEqual(leads(), []);
  player.position = 31 * take.rate;
  player.emit("report");
  assert.deepEqual(leads(), [60_000]);
  player.position = 45 * take.rate;
  player.emit("report");
  assert.deepEqual(channel.sent.at(-1), { type: "played", context: "page-1", samples: 0 }); // of the new context
});

test("the position is reported in whole samples of the context", (t) => {
  t.mock.method(performance, "now", () => 10_000);
  store.set({ ready: { cost: "high", limits: LIMITS } });
  speaker.load(take);
  player.active = true;
  player.emit("change");
  player.position = 1234.56;
  player.emit("report");
  assert.deepEqual(channel.sent.at(-1), { type: "played", context: "page-1", samples: 1234 });
});

/** Fail the latest context in a sentence, after some of its sound. */
async function fail(/** @type {{ start: number, end: number }} */ sentence, retryable = true) {
  const handle = started().length;
  const tell = (/** @type {string} */ type, /** @type {object} */ fields) =>
    channel.emit(type, { type, context: started().at(-1), ...fields });
  const frame = new DataView(new ArrayBuffer(16 + 200));
  frame.setUint16(2, handle, true);
  tell("started", { handle });
  tell("sentence", { first_sample: 0, ...sentence });
  channel.emit("binary", frame.buffer);
  tell("error", { code: "engine_failure", message: "It failed.", retryable });
  await Promise.resolve();
}

test("a sentence that fails twice is not spoken again until the user asks for it", async () => {
  speaker.load(take);
  player.active = true;
  player.emit("change");
  await fail({ start: 14, end: 28 });
  assert.equal(started().length, 2);
  await fail({ start: 0, end: 14 });
  player.emit("report");
  assert.equal(started().length, 2);
  assert.equal(toasts.length, 2);
});

test("an error that another attempt cannot mend waits for the user", async () => {
  speaker.load(take);
  player.active = true;
  player.emit("change");
  await fail({ start: 14, end: 28 }, false);
  player.emit("report");
  assert.equal(started().length, 1);
  assert.equal(player.active, true); // what has arrived is heard
  player.position = take.length;
  player.emit("change");
  assert.equal(player.active, false);
});
