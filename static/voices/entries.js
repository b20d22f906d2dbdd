// @ts-check
// Lists of entries: what each is about, with buttons beside it, warnings below, and questions such as whether to
// delete it.

import { byId, element } from "../lib/element.js";
import { Notice } from "../lib/notice.js";
import { ask, button } from "./question.js";

/**
 * @typedef {object} EntryParts
 * @property {string} key that no other entry of the list has
 * @property {string} name
 * @property {string} facts
 * @property {string[]} [warnings]
 * @property {HTMLElement[]} actions
 */

/** A list with a title and a status line: the elements `name`, `name`-title and `name`-notice. */
export class EntryList {
  /** @param {string} name @param {Sound} sound of the entries */
  constructor(name, sound) {
    this.list = byId(name);
    this.title = byId(`${name}-title`);
    this.notice = new Notice(byId(`${name}-notice`));
    this.sound = sound;
  }

  /**
   * Replace the entries, except those with a question that is not answered yet. Sound that belongs to one stops; the
   * focus stays on the same control if it still exists.
   * @param {HTMLElement[]} entries
   */
  fill(entries) {
    const held = /** @type {HTMLElement | null} */ (this.list.querySelector(":focus"));
    const heldKey = held && keyOf(held);
    this.sound.stopWithin(this.list);
    const asking = new Map([...this.list.querySelectorAll(".asked")].map((question) => [keyOf(question), itemOf(question)]));
    this.list.replaceChildren(...entries.map((item) => asking.get(keyOf(item)) ?? item));
    if (!held) return;
    const buttons = [...(this.find(heldKey)?.querySelectorAll("button") ?? [])];
    const again = buttons.find((one) => one === held) ?? buttons.find((one) => one.textContent === held.textContent);
    (again ?? this.title).focus();
  }

  /** Return the entry with a key. @param {string | null | undefined} key */
  find(key) {
    return /** @type {HTMLElement[]} */ ([...this.list.children]).find((item) => keyOf(item) === key);
  }

  /**
   * Return a button that asks whether to delete an entry.
   * @param {string} about the entry, for screen readers
   * @param {string} question
   * @param {Record<string, () => unknown>} choices what each answer does
   */
  deletion(about, question, choices) {
    const remove = button("Delete", about);
    remove.addEventListener("click", () => this.ask(itemOf(remove), question, choices));
    return remove;
  }

  /** @param {HTMLElement} item @param {string} question @param {Record<string, () => unknown>} choices */
  ask(item, question, choices) {
    ask(item, question, choices, this.notice);
  }
}

/** Return an entry. @param {EntryParts} parts */
export function entry({ key, name, facts, warnings = [], actions }) {
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

/** Return the entry that an element is in. @param {Element} part */
function itemOf(part) {
  return /** @type {HTMLElement} */ (part.closest("li[data-key]"));
}

/** @param {Element} part of an entry, or the entry */
function keyOf(part) {
  return itemOf(part).dataset.key;
}
