// @ts-check
// The Compare tab: one text in two to four voices, made at once, heard one after another.

import { byId } from "../lib/element.js";
import { changeSettings } from "../state.js";
import { MOST_COMPARED } from "../take/settings.js";
import { Card } from "./card.js";
import { ComparedTakes } from "./takes.js";

const LEAST = 2;

/** @param {HTMLElement} panel @param {App} app */
export function mount(panel, app) {
  const { store, player, speaker, toast } = app;
  const takes = new ComparedTakes(app);
  /** @type {Map<string, Card>} by voice; kept, as their drawings follow the window's size and colours */
  const cards = new Map();
  let inTurn = false; // whether the next voice plays when one ends

  /** Return whether the voice could be requested. */
  function play(/** @type {string} */ voice) {
    const written = store.state.text.trim() !== "";
    if (!written || store.state.connection !== "online") {
      const wrong = written ? "There is no connection to the server." : "There is no text; write one in the Speak tab.";
      toast.show(wrong, { kind: "error" });
      return false;
    }
    for (const id of voicesOf(store.state)) takes.ask(id); // all start at once, so that their times compare
    const { take, context } = takes.ask(voice);
    if (player.take !== take) speaker.load(take, context);
    speaker.play();
    return true;
  }

  function toggle(/** @type {string} */ voice) {
    inTurn = false;
    if (player.active && player.take === takes.of(voice)) speaker.pause();
    else play(voice);
  }

  function playInTurn() {
    inTurn = play(voicesOf(store.state)[0]);
    if (inTurn) speaker.seek(0);
  }

  function playNext() {
    const voices = voicesOf(store.state);
    const at = voices.findIndex((voice) => takes.of(voice) === player.take); // -1 for a take of another tab
    const next = at < 0 ? undefined : voices[at + 1];
    inTurn = next !== undefined && play(next);
  }

  function cardOf(/** @type {string} */ voice) {
    const card = cards.get(voice) ?? new Card(voice, app, takes, () => toggle(voice));
    cards.set(voice, card);
    return card;
  }

  const isShown = () => store.state.tab === "compare";
  let built = "";
  function show() {
    if (!isShown()) return;
    const voices = voicesOf(store.state);
    if (voices.join("\n") !== built) {
      built = voices.join("\n");
      takes.keepOnly(voices);
      byId("compare-list").replaceChildren(...voices.map((voice) => cardOf(voice).item));
    }
    for (const voice of voices) cardOf(voice).show();
  }

  let frame = 0;
  const run = () => {
    frame = 0;
    show();
    if (player.active && isShown()) frame = requestAnimationFrame(run);
  };

  store.watch(["tab", "text", "voices", "settings"], show);
  takes.on("change", show);
  player.on("change", () => {
    show();
    frame ||= requestAnimationFrame(run);
  });
  player.on("ended", () => inTurn && playNext());
  byId("compare-choose").addEventListener("click", () => choose(app));
  byId("compare-all").addEventListener("click", playInTurn);
  store.watch(["ready"], ({ ready }) => {
    for (const id of ["compare-choose", "compare-all"]) /** @type {HTMLButtonElement} */ (byId(id)).disabled = !ready;
  });
}

/** Return the voices to compare: those chosen, or else the first ones. @param {State} state */
function voicesOf({ voices, settings }) {
  const known = settings.compared.filter((id) => voices.some((voice) => voice.id === id));
  return known.length >= LEAST ? known : voices.slice(0, LEAST).map(({ id }) => id);
}

/** Open the dialog that chooses the voices. @param {App} app */
function choose({ store, picker, sampler }) {
  picker.open({
    title: "Voices to compare, two to four",
    choices: store.state.voices.map(({ id, name, style }) => ({ id, name, about: style })),
    get picked() {
      return voicesOf(store.state);
    },
    several: true,
    pick: (id) => {
      const now = voicesOf(store.state);
      const next = now.includes(id) ? now.filter((one) => one !== id) : [...now, id];
      if (next.length >= LEAST && next.length <= MOST_COMPARED) changeSettings(store, { compared: next });
    },
    preview: (choice, button) => sampler.toggle(choice.id, button),
  });
}
