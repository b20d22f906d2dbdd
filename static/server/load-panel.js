// @ts-check
// Shows the takes of a load test as bars: the wait for the first sound, then the time until all of it was there.

import { byId, element } from "../lib/element.js";
import { Notice } from "../lib/notice.js";
import { UserError } from "../lib/user-error.js";
import { LoadTest } from "./load-test.js";
import { milliseconds } from "./plots.js";

const TAKES = 20;
const SHOWN_MS = 500; // shortest time axis

/** @param {App} app */
export function mountLoadPanel({ store, key, api }) {
  const button = byId("load");
  const notice = new Notice(byId("load-notice"));
  const list = byId("load-takes");
  /** @type {LoadTest | null} */
  let test = null;
  let frame = 0;

  store.watch(["connection", "ready"], label);
  button.addEventListener("click", () => (test ? test.stop() : notice.attempt(button, start)));

  function label() {
    const { connection, ready } = store.state;
    const count = Math.min(TAKES, ready?.limits.parallel_contexts ?? TAKES);
    button.disabled = connection !== "online" && !test;
    button.textContent = test ? "Stop" : count === 1 ? "Speak a take" : `Speak ${count} takes at once`;
  }

  async function start() {
    const { voices } = await api.get("voices");
    const here = voices.filter((/** @type {any} */ { download }) => !download || download.state === "present");
    if (!here.length) throw new UserError("No voice has been fetched yet; speak with one first.");
    const mine = test = new LoadTest(key, TAKES, here);
    list.replaceChildren();
    notice.say("Speaking…");
    mine.on("change", () => {
      if (!frame) frame = requestAnimationFrame(() => draw(mine));
    });
    mine.on("end", (why) => {
      test = null;
      draw(mine);
      const failed = mine.takes.find(({ error }) => error)?.error ?? "";
      const words = [why, failed, summary(mine.takes)].filter(Boolean).join(" ");
      if (why || failed) notice.showError(new UserError(words));
      else notice.say(words);
      label();
    });
    mine.start();
    label();
  }

  /** @param {LoadTest} mine */
  function draw({ takes }) {
    cancelAnimationFrame(frame);
    frame = 0;
    const longest = Math.max(SHOWN_MS, ...takes.map(({ end, first }) => end ?? first ?? 0));
    while (list.children.length < takes.length) list.append(row());
    takes.forEach((take, at) => write(/** @type {HTMLElement} */ (list.children[at]), take, longest));
  }
}

function row() {
  const bar = element("span", { className: "bar" }, element("i", { className: "wait" }), element("i", { className: "flow" }));
  bar.ariaHidden = "true";
  return element("li", {}, element("span", { className: "take-voice" }), bar, element("span", { className: "take-times" }));
}

/** @param {HTMLElement} item @param {LoadTake} take @param {number} longest milliseconds */
function write(item, { voice, first, end, error }, longest) {
  const [name, bar, times] = /** @type {HTMLElement[]} */ ([...item.children]);
  const [wait, flow] = /** @type {HTMLElement[]} */ ([...bar.children]);
  name.textContent = voice;
  wait.style.inlineSize = `${(100 * (first ?? 0)) / longest}%`;
  flow.style.inlineSize = `${(100 * ((end ?? first ?? 0) - (first ?? 0))) / longest}%`;
  const parts = [first === null ? "" : `first audio ${milliseconds(first)}`, end === null ? "" : `all ${milliseconds(end)}`];
  times.textContent = error || parts.filter(Boolean).join(", ") || "waiting";
}

/** @param {LoadTake[]} takes */
function summary(takes) {
  const firsts = takes.flatMap(({ first }) => first ?? []).sort((one, other) => one - other);
  if (!firsts.length) return "";
  const seconds = takes.reduce((sum, { audioS }) => sum + audioS, 0);
  const took = Math.max(...takes.map(({ end }) => end ?? 0)) / 1000;
  const times = `first audio ${milliseconds(firsts[0])} at best, ${milliseconds(firsts[(firsts.length - 1) >> 1])} in the middle, ` +
    `${milliseconds(firsts[firsts.length - 1])} at worst`;
  const all = took ? `; ${seconds.toFixed(0)} s of speech in ${took.toFixed(1)} s, ${Math.round(seconds / took)} times as fast as it is heard` : "";
  return `${firsts.length === 1 ? "One take" : `${firsts.length} takes`}: ${times}${all}.`;
}
