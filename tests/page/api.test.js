// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";

const { Api } = await import(`${"../../static/lib"}/api.js`);
const api = () => new Api({ value: "" });

/** Answer every request with what `answer` returns. */
function answering(/** @type {any} */ t, /** @type {(init: RequestInit) => Promise<Response>} */ answer) {
  t.mock.method(globalThis, "fetch", (/** @type {string} */ _, /** @type {RequestInit} */ init) => answer(init));
}

/** A response whose body breaks off. */
function brokenOff(status = 200) {
  const body = new ReadableStream({
    start(controller) {
      controller.enqueue(new TextEncoder().encode('{"voices"'));
      controller.error(new TypeError("network error"));
    },
  });
  return new Response(body, { status });
}

test("an answer that breaks off is an error in the page's own words", async (t) => {
  answering(t, async () => brokenOff());
  await assert.rejects(api().get("voices"), /connection was lost/);
  await assert.rejects(api().bytes("preview/aria"), /connection was lost/);
  answering(t, async () => brokenOff(404));
  await assert.rejects(api().send("DELETE", "voice_mappings/aria"), /connection was lost/);
});

test("an answer that is not JSON is an error in the page's own words", async (t) => {
  answering(t, async () => new Response("<html>"));
  await assert.rejects(api().get("voices"), /unexpected response/);
});

test("a refusal has the server's message and code", async (t) => {
  answering(t, async () => Response.json({ error: { code: "in_use", message: "It is in use." } }, { status: 409 }));
  await assert.rejects(api().send("DELETE", "audio_prompts/ann"), { message: "It is in use.", code: "in_use" });
});

test("lists are not waited for without end, sound is", async (t) => {
  /** @type {boolean[]} */
  const limited = [];
  answering(t, async ({ signal }) => {
    limited.push(signal !== undefined);
    return Response.json({});
  });
  await api().get("voices");
  await api().bytes("preview/aria");
  await api().send("POST", "audio_prompts/ann/transcribe");
  assert.deepEqual(limited, [true, false, false]);
});
