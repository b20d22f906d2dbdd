// @ts-check
// The history: takes that were heard on this device, to hear again.

import { byId, element } from "../lib/element.js";
import { makeClosable } from "../lib/sheet.js";
import { clockOf } from "../take/duration.js";
import { TakeStore } from "./take-store.js";

const TITLE = 160; // characters shown of a text
const LEAST_S = 0.2; // of a take that is kept

/**
 * @param {App} app
 * @param {(take: Take) => void} replay
 */
export function mountHistory({ player, store, toast }, replay) {
  const dialog = byId("history");
  const close = makeClosable(dialog);
  const takes = new TakeStore();
  const kept = keepTakes(player, takes);

  async function show() {
    const entries = await takes.entries().catch(() => []);
    byId("history-none").hidden = entries.length > 0;
    byId("history-clear").hidden = entries.length === 0;
    byId("history-list").replaceChildren(...entries.map((entry) => row(entry, store.state.voices, open, remove)));
  }

  async function open(/** @type {HistoryEntry} */ entry) {
    const take = await takes.load(entry).catch(() => null);
    dialog.close();
    if (take) {
      kept.add(take);
      replay(take);
    } else {
      toast.show("This take is no longer kept.", { kind: "error" });
    }
  }

  async function forget(/** @type {HistoryEntry[]} */ entries) {
    try {
      await takes.remove(entries.map(({ id }) => id));
    } catch {
      toast.show("The history could not be changed; try again.", { kind: "error" });
    }
    await show();
  }

  async function remove(/** @type {HistoryEntry} */ entry) {
    await forget([entry]);
    close.focus();
  }

  byId("history-button").addEventListener("click", async () => {
    await show();
    dialog.showModal();
  });
  byId("history-clear").addEventListener("click", async () => forget(await takes.entries().catch(() => [])));
}

/**
 * @param {HistoryEntry} entry
 * @param {Voice[]} voices
 * @param {(entry: HistoryEntry) => void} open
 * @param {(entry: HistoryEntry) => void} remove
 */
function row(entry, voices, open, remove) {
  const { settings, seconds, at } = entry;
  const voice = voices.find(({ id }) => id === settings.voice)?.name ?? settings.voice;
  const when = new Date(at).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
  const title = shortened(entry.text.trim());
  const facts = element("small", { className: "hint" }, `${voice} · ${clockOf(seconds)} · ${when}`);
  const about = element("div", {}, element("p", { dir: "auto" }, title), facts);
  const play = element("button", { type: "button", "aria-label": `Play: ${title}` }, "Play");
  play.addEventListener("click", () => open(entry));
  const drop = element("button", { type: "button", className: "quiet", "aria-label": `Delete: ${title}` }, "Delete");
  drop.addEventListener("click", () => remove(entry));
  const actions = element("div", { className: "actions" }, play, drop);
  return element("li", {}, element("div", { className: "entry" }, about, actions));
}

/** @param {string} text */
function shortened(text) {
  return text.length > TITLE ? `${text.slice(0, TITLE).trimEnd()}…` : text;
}

/**
 * Keep the player's takes when they are complete, each once. Return the set of those kept; add takes that must not be
 * kept again.
 * @param {Player} player
 * @param {TakeStore} takes
 */
function keepTakes(player, takes) {
  /** @type {WeakSet<object>} */
  const kept = new WeakSet();
  /** @type {Take | null} */
  let current = null;

  async function keep() {
    const take = current;
    if (!take?.complete || take.seconds < LEAST_S || kept.has(take)) return;
    kept.add(take);
    await takes.keep(take).catch(() => kept.delete(take)); // storage is full or forbidden
  }
  player.on("change", () => {
    if (player.take === current) return;
    current?.removeEventListener("end", keep);
    current = player.take;
    current?.addEventListener("end", keep);
    keep();
  });
  return kept;
}
