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
export function mountLoadPanel(app) {
  const panel = new LoadPanel(app);
  app.store.watch(["connection", "ready"], () => panel.label());
}

class LoadPanel {
  #app;
  #button = byId("load");
  #notice = new Notice(byId("load-notice"));
  #list = byId("load-takes");
  /** @type {LoadTest | null} */
  #test = null;
  #frame = 0;

  /** @param {App} app */
  constructor(app) {
    this.#app = app;
    this.#button.addEventListener("click", () => {
      if (this.#test) this.#test.stop();
      else this.#notice.attempt(this.#button, () => this.#start());
    });
  }

  /** Show on the button what it does. */
  label() {
    const { connection, ready } = this.#app.store.state;
    const count = Math.min(TAKES, ready?.limits.parallel_contexts ?? TAKES);
    this.#button.disabled = connection !== "online" && !this.#test;
    this.#button.textContent = this.#test ? "Stop" : count === 1 ? "Speak a take" : `Speak ${count} takes at once`;
  }

  async #start() {
    const { voices } = await this.#app.api.get("voices");
    const here = voices.filter((/** @type {any} */ { download }) => !download || download.state === "present");
    if (!here.length) throw new UserError("No voice has been downloaded yet; play a text with one first.");
    const test = (this.#test = new LoadTest(this.#app.key, TAKES, here));
    this.#list.replaceChildren();
    this.#notice.say("Speaking…");
    test.on("change", () => {
      if (!this.#frame) this.#frame = requestAnimationFrame(() => this.#draw(test));
    });
    test.on("end", (why) => this.#end(test, why));
    test.start();
    this.label();
  }

  /** @param {LoadTest} test @param {string} why it ended early, or "" */
  #end(test, why) {
    this.#test = null;
    this.#draw(test);
    const failed = test.takes.find(({ error }) => error)?.error ?? "";
    const words = [why, failed, summary(test.takes)].filter(Boolean).join(" ");
    if (why || failed) this.#notice.showError(new UserError(words));
    else this.#notice.say(words);
    this.label();
  }

  /** @param {LoadTest} test */
  #draw({ takes }) {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    const longest = Math.max(SHOWN_MS, ...takes.map(({ end, first }) => end ?? first ?? 0));
    while (this.#list.children.length < takes.length) this.#list.append(row());
    takes.forEach((take, at) => write(/** @type {HTMLElement} */ (this.#list.children[at]), take, longest));
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
  const [fastest, median, slowest] = [firsts[0], firsts[(firsts.length - 1) >> 1], firsts[firsts.length - 1]].map(milliseconds);
  const times = `first audio: fastest ${fastest}, median ${median}, slowest ${slowest}`;
  const all = took ? `; ${seconds.toFixed(0)} s of speech in ${took.toFixed(1)} s, ${Math.round(seconds / took)} × real time` : "";
  return `${firsts.length === 1 ? "One take" : `${firsts.length} takes`}: ${times}${all}.`;
}
