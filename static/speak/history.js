// @ts-check
// The history: takes that were heard on this device, to hear again.

import { byId, element } from "../lib/element.js";
import { makeClosable } from "../lib/sheet.js";
import { clockOf } from "../take/duration.js";
import { TakeStore } from "./take-store.js";

const LEAST_S = 0.2;
const TITLE = 160; // characters shown of a text

/** @param {App} app @param {(take: Take) => void} replay */
export function mountHistory({ player, store, toast }, replay) {
  const dialog = byId("history");
  const close = makeClosable(dialog);
  const takes = new TakeStore();
  /** @type {WeakSet<object>} */
  const kept = new WeakSet(); // takes that are in the history already
  /** @type {Take | null} */
  let current = null;

  async function keep(/** @type {Take} */ take) {
    if (kept.has(take) || !take.complete || take.seconds < LEAST_S) return;
    kept.add(take);
    await takes.keep(take).catch(() => kept.delete(take)); // storage is full or forbidden
  }
  const ended = () => current && keep(current);
  player.on("change", () => {
    if (player.take === current) return;
    current?.removeEventListener("end", ended);
    current = player.take;
    current?.addEventListener("end", ended);
    ended();
  });

  async function show() {
    const entries = await takes.entries().catch(() => []);
    byId("history-none").hidden = entries.length > 0;
    byId("history-clear").hidden = entries.length === 0;
    byId("history-list").replaceChildren(...entries.map(row));
  }

  async function forget(/** @type {HistoryEntry[]} */ entries) {
    try {
      await takes.remove(entries.map(({ id }) => id));
    } catch {
      toast.show("The history could not be changed; try again.", { kind: "error" });
    }
    await show();
  }

  /** @param {HistoryEntry} entry */
  function row(entry) {
    const voice = store.state.voices.find(({ id }) => id === entry.settings.voice)?.name ?? entry.settings.voice;
    const when = new Date(entry.at).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
    const title = shortened(entry.text.trim());
    const facts = `${voice} · ${clockOf(entry.seconds)} · ${when}`;
    const about = element("div", {}, element("p", { dir: "auto" }, title), element("small", { className: "hint" }, facts));
    const open = element("button", { type: "button", "aria-label": `Play: ${title}` }, "Play");
    open.addEventListener("click", async () => {
      const take = await takes.load(entry).catch(() => null);
      dialog.close();
      if (!take) {
        toast.show("This take is no longer kept.", { kind: "error" });
        return;
      }
      kept.add(take);
      replay(take);
    });
    const remove = element("button", { type: "button", className: "quiet" }, "Delete");
    remove.setAttribute("aria-label", `Delete: ${title}`);
    remove.addEventListener("click", async () => {
      await forget([entry]);
      close.focus();
    });
    const actions = element("div", { className: "actions" }, open, remove);
    return element("li", {}, element("div", { className: "entry" }, about, actions));
  }

  byId("history-button").addEventListener("click", async () => {
    await show();
    dialog.showModal();
  });
  byId("history-clear").addEventListener("click", async () => forget(await takes.entries().catch(() => [])));
}

/** @param {string} text */
function shortened(text) {
  return text.length > TITLE ? `${text.slice(0, TITLE).trimEnd()}…` : text;
}
