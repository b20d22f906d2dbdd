// @ts-check
// The Compare tab: one text in two to four voices, made at once, heard one after another.

import { byId, element } from "../lib/element.js";
import { Waveform } from "../player/waveform.js";
import { changeSettings } from "../state.js";
import { clockOf } from "../take/duration.js";
import { MOST_COMPARED, sameSpeech, speechOf } from "../take/settings.js";

const LEAST = 2;

/** @typedef {import("../take/take.js").Take} Take */

/**
 * @param {HTMLElement} panel
 * @param {import("../app.js").App} app
 */
export function mount(panel, app) {
  const { store, player, speaker, contexts, picker, toast } = app;
  /** @type {Map<string, Take>} by voice */
  const takes = new Map();
  /** @type {WeakMap<Take, import("../speech/context.js").Context>} what fills them */
  const filling = new WeakMap();
  let inTurn = false; // whether the next voice plays when one ends
  /** @type {Map<string, ReturnType<typeof card>>} */
  const cards = new Map();

  const compared = () => {
    const { voices, settings } = store.state;
    const known = settings.compared.filter((id) => voices.some((voice) => voice.id === id));
    return known.length >= LEAST ? known : voices.slice(0, LEAST).map(({ id }) => id);
  };
  const settingsFor = (/** @type {string} */ voice) => ({
    ...speechOf(store.state.settings, store.state.ready?.options ?? []),
    voice,
  });
  const nameOf = (/** @type {string} */ id) => store.state.voices.find((voice) => voice.id === id)?.name ?? id;

  /** Return the take of a voice, asking the server for it if there is none of this text. */
  function takeOf(/** @type {string} */ voice) {
    const { text } = store.state;
    const settings = settingsFor(voice);
    const known = takes.get(voice);
    const same = known?.text === text && sameSpeech(known.settings, settings);
    if (known && same && (known.length || !filling.get(known)?.ended)) return known;
    const take = speaker.prepare(text, settings);
    take.metrics.clicked = take.metrics.sent = performance.now();
    const context = contexts.open(take);
    context.addEventListener("sound", () => {
      take.metrics.arrived ??= performance.now();
      show();
    });
    context.addEventListener("end", ({ detail }) => {
      if (detail.metrics) Object.assign(take.metrics, detail.metrics);
      if (detail.how === "error") toast.show(detail.message, { kind: "error" });
    });
    take.addEventListener("end", show);
    takes.set(voice, take);
    filling.set(take, context);
    return take;
  }

  function play(/** @type {string} */ voice) {
    const written = store.state.text.trim() !== "";
    if (!written || store.state.connection !== "online") {
      const wrong = written ? "There is no connection to the server." : "There is no text; write one in the Speak tab.";
      toast.show(wrong, { kind: "error" });
      return;
    }
    for (const id of compared()) takeOf(id); // all are made at once, so that the times compare
    const take = takeOf(voice);
    if (player.take !== take) speaker.load(take, filling.get(take));
    speaker.play();
  }

  function toggle(/** @type {string} */ voice) {
    inTurn = false;
    if (player.active && player.take === takes.get(voice)) speaker.pause();
    else play(voice);
  }

  player.addEventListener("change", () => show());
  player.addEventListener("ended", () => {
    if (!inTurn) return;
    const voices = compared();
    const next = voices[voices.findIndex((voice) => takes.get(voice) === player.take) + 1];
    if (next) play(next);
    else inTurn = false;
  });

  /** @param {string} voice */
  function card(voice) {
    const canvas = element("canvas", { "aria-hidden": "true" });
    const button = element("button", { type: "button" }, "Play");
    const first = element("dd");
    const length = element("dd");
    const fact = (/** @type {string} */ label, /** @type {HTMLElement} */ value) =>
      element("div", {}, element("dt", {}, label), value);
    const facts = element("dl", {}, fact("First sound arrived", first), fact("Length", length));
    const item = element("li", {}, element("h2", {}, nameOf(voice)), canvas, facts, button);
    button.addEventListener("click", () => toggle(voice));
    const waveform = new Waveform(canvas, {
      get take() {
        return takes.get(voice) ?? null;
      },
      get position() {
        return player.take === this.take ? player.position : 0;
      },
      seek(sample) {
        if (player.take === this.take) speaker.seek(sample);
      },
    });
    return {
      item,
      show() {
        const take = takes.get(voice);
        const playing = player.active && player.take !== null && player.take === take;
        item.dataset.playing = String(playing);
        button.textContent = playing ? "Pause" : "Play";
        button.setAttribute("aria-label", `${playing ? "Pause" : "Play"} ${nameOf(voice)}`);
        const { sent, arrived } = take?.metrics ?? {};
        first.textContent = sent !== undefined && arrived !== undefined ? `${Math.round(arrived - sent)} ms` : "–";
        length.textContent = take?.complete ? clockOf(take.seconds) : "–";
        waveform.draw();
      },
    };
  }

  function show() {
    if (store.state.tab !== "compare") return;
    for (const one of cards.values()) one.show();
  }
  function build() {
    if (store.state.tab !== "compare") return;
    const voices = compared();
    cards.clear();
    for (const voice of voices) cards.set(voice, card(voice));
    for (const voice of [...takes.keys()]) if (!voices.includes(voice)) takes.delete(voice);
    byId("compare-list").replaceChildren(...[...cards.values()].map(({ item }) => item));
    show();
  }
  let built = "";
  store.watch(["tab", "voices", "settings"], ({ tab, voices }) => {
    const key = JSON.stringify([tab === "compare", compared(), voices.map(({ name }) => name)]);
    if (key !== built) build();
    built = key;
  });
  store.watch(["tab", "text"], () => show());
  let frame = 0;
  const run = () => {
    frame = 0;
    show();
    if (player.active && store.state.tab === "compare") frame = requestAnimationFrame(run);
  };
  player.addEventListener("change", () => (frame ||= requestAnimationFrame(run)));

  byId("compare-choose").addEventListener("click", () =>
    picker.open({
      title: "Voices to compare, two to four",
      choices: store.state.voices.map(({ id, name, style }) => ({ id, name, about: style })),
      get picked() {
        return compared();
      },
      several: true,
      pick: (id) => {
        const now = compared();
        const next = now.includes(id) ? now.filter((one) => one !== id) : [...now, id];
        if (next.length >= LEAST && next.length <= MOST_COMPARED) changeSettings(store, { compared: next });
      },
      hear: (choice, button) => app.sampler.toggle(choice.id, button),
    }),
  );
  byId("compare-all").addEventListener("click", () => {
    inTurn = true;
    const voices = compared();
    for (const voice of voices) takeOf(voice);
    play(voices[0]);
    speaker.seek(0);
  });
  store.watch(["ready"], ({ ready }) => {
    for (const id of ["compare-choose", "compare-all"]) /** @type {HTMLButtonElement} */ (byId(id)).disabled = !ready;
  });
}
