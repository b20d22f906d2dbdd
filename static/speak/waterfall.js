// @ts-check
// The way to the first sound, drawn as bars on one time axis.

import { byId, element } from "../lib/element.js";
import { firstSoundMs, stagesOf } from "../take/stages.js";

const NOTHING = "Press Play to see what the wait for the first sound is made of.";

/** @param {App} app */
export function mountWaterfall({ speaker }) {
  let shown = "";
  const show = () => {
    const metrics = speaker.take?.metrics ?? {};
    const stages = stagesOf(metrics);
    const first = firstSoundMs(metrics);
    const key = JSON.stringify([stages, first]);
    if (key === shown) return;
    shown = key;
    byId("first-sound").textContent = first === null ? "" : msOf(first);
    const whole = Math.max(1, ...stages.map(({ start, ms }) => start + ms));
    byId("waterfall").replaceChildren(...stages.map((stage) => row(stage, whole)));
    byId("take-facts").textContent = stages.length ? factsOf(metrics) : NOTHING;
  };
  speaker.on("take", show);
  speaker.on("change", show);
}

/** @param {Stage} stage @param {number} whole */
function row({ name, about, start, ms }, whole) {
  const bar = element("span", { className: "bar" });
  bar.style.marginInlineStart = `${(100 * start) / whole}%`;
  bar.style.width = `${(100 * ms) / whole}%`;
  const lane = element("span", { className: "lane" }, bar);
  const value = element("span", { className: "ms" }, msOf(ms));
  return element("li", { title: about }, element("span", {}, name), lane, value);
}

function msOf(/** @type {number} */ ms) {
  return ms < 10 ? `${ms.toFixed(1)} ms` : `${Math.round(ms)} ms`;
}

function factsOf(/** @type {Metrics} */ { audio_ms: audio, realtime_factor: factor }) {
  if (!audio || !factor) return "";
  const speed = Math.round(factor);
  return `${(audio / 1000).toFixed(1)} s of speech${speed > 1 ? `, synthesised at ${speed} × real time` : ""}.`;
}
