// @ts-check
// A dialog to pick from a long list, with search. Up and Down move between the choices.

import { byId, element } from "./element.js";
import { makeClosable } from "./sheet.js";

/**
 * @typedef {object} Choice
 * @property {string} id
 * @property {string} name
 * @property {string} [about]
 * @property {string} [group] shown as a heading where it begins
 */

/**
 * @typedef {object} Picking
 * @property {string} title
 * @property {Choice[]} choices
 * @property {string[]} picked ids; read again after each choice
 * @property {(id: string) => void} pick called with the choice, picked before or not
 * @property {boolean} [several] whether several may be picked; the dialog then stays open
 * @property {(choice: Choice, button: HTMLButtonElement) => void} [hear] plays a choice
 */

export class Picker {
  #dialog = /** @type {HTMLDialogElement} */ (byId("picker"));
  #search = /** @type {HTMLInputElement} */ (byId("picker-search"));
  #list = byId("picker-list");
  /** @type {Picking | null} */
  #picking = null;

  constructor() {
    makeClosable(this.#dialog);
    this.#dialog.addEventListener("close", () => (this.#picking = null));
    this.#search.addEventListener("input", () => this.#show());
    this.#dialog.addEventListener("keydown", (event) => this.#key(event));
  }

  /** @param {Picking} picking */
  open(picking) {
    this.#picking = picking;
    byId("picker-title").textContent = picking.title;
    this.#search.value = "";
    this.#show();
    this.#dialog.showModal();
    this.#list.querySelector("[aria-pressed=true]")?.scrollIntoView({ block: "nearest" });
  }

  #show() {
    if (!this.#picking) return;
    const { choices, picked, hear } = this.#picking;
    const wanted = folded(this.#search.value);
    const found = choices.filter(({ id, name, about = "" }) => folded(`${name} ${about} ${id}`).includes(wanted));
    /** @type {HTMLElement[]} */
    const rows = [];
    let group = "";
    for (const choice of found) {
      if (choice.group && choice.group !== group) rows.push(element("li", { className: "group" }, choice.group));
      group = choice.group ?? group;
      rows.push(this.#row(choice, picked.includes(choice.id), hear));
    }
    this.#list.replaceChildren(...rows);
    byId("picker-none").hidden = found.length > 0;
  }

  /**
   * @param {Choice} choice
   * @param {boolean} picked
   * @param {Picking["hear"]} hear
   */
  #row(choice, picked, hear) {
    const button = element("button", { type: "button", className: "pick", "aria-pressed": picked }, choice.name);
    button.dataset.id = choice.id;
    if (choice.about) button.append(element("small", {}, choice.about));
    button.addEventListener("click", () => this.#pick(choice));
    const row = element("li", {}, button);
    if (hear) {
      const listen = element("button", { type: "button", className: "hear" }, "Listen");
      listen.append(element("span", { className: "unseen" }, ` to ${choice.name}`));
      listen.addEventListener("click", () => hear(choice, listen));
      row.append(listen);
    }
    return row;
  }

  #pick(/** @type {Choice} */ { id }) {
    const picking = this.#picking;
    if (!picking) return;
    if (!picking.several) this.#dialog.close();
    picking.pick(id);
    if (!picking.several) return;
    this.#show();
    /** @type {HTMLElement | null} */ (this.#list.querySelector(`[data-id="${CSS.escape(id)}"]`))?.focus();
  }

  #key(/** @type {KeyboardEvent} */ event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const all = /** @type {HTMLElement[]} */ ([...this.#list.querySelectorAll(".pick")]);
    const at = all.indexOf(/** @type {HTMLElement} */ (document.activeElement));
    if (at + step < 0) this.#search.focus();
    else all[Math.min(all.length - 1, at + step)]?.focus();
  }
}

const folded = (/** @type {string} */ text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase().trim();
