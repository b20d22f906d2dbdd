// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";

import { firstSoundMs, stagesOf } from "../../static/take/stages.js";

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
