// @ts-check
// A list of entries: what each is about, with buttons beside it and warnings below.

import { byId, element } from "../lib/element.js";

/**
 * Return an entry.
 * @param {string} key that no other entry of the list has
 * @param {string} name
 * @param {string} facts
 * @param {string[]} warnings
 * @param {HTMLElement[]} actions
 */
export function entry(key, name, facts, warnings, actions) {
  const about = element("p", {}, element("strong", {}, name), " ", element("span", {}, facts));
  const line = element("div", { className: "entry" }, about, element("div", { className: "actions" }, ...actions));
  const item = element("li", {}, line);
  item.dataset.key = key;
  if (warnings.length) item.append(element("ul", { className: "warnings" }, ...items(warnings)));
  return item;
}

/** Return sentences as the items of a list. @param {string[]} sentences */
export function items(sentences) {
  return sentences.map((sentence) => element("li", {}, sentence));
}

/**
 * Replace the entries of a list, except those with a question that is not answered yet. Sound that belongs to one stops;
 * the focus stays on the same control if it still exists.
 * @param {HTMLElement} list
 * @param {HTMLElement[]} entries
 * @param {Sound} sound
 */
export function fill(list, entries, sound) {
  const held = list.contains(document.activeElement) ? document.activeElement : null;
  sound.stopWithin(list);
  const asking = new Map([...list.querySelectorAll(".asked")].map((question) => {
    const item = /** @type {HTMLElement} */ (question.closest("li"));
    return [item.dataset.key, item];
  }));
  const heldKey = /** @type {HTMLElement | undefined} */ (held?.closest("li[data-key]"))?.dataset.key;
  list.replaceChildren(...entries.map((item) => asking.get(item.dataset.key) ?? item));
  if (!held) return;
  const entry = entries.find((item) => item.dataset.key === heldKey);
  const again = list.contains(held)
    ? /** @type {HTMLElement} */ (held)
    : [...(entry?.querySelectorAll("button") ?? [])].find((one) => one.textContent === held.textContent);
  (again ?? byId(list.getAttribute("aria-labelledby") ?? "")).focus();
}
