// @ts-check
// A dialog to pick from a long list, with search. Up and Down move between the choices.

import { byId, element } from "./element.js";
import { makeClosable } from "./sheet.js";

export class Picker {
  #dialog = byId("picker");
  #search = byId("picker-search");
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
    const { choices, picked, preview } = this.#picking;
    const wanted = folded(this.#search.value);
    const found = choices.filter(({ id, name, about = "" }) => folded(`${name} ${about} ${id}`).includes(wanted));
    /** @type {HTMLElement[]} */
    const rows = [];
    let group = "";
    for (const choice of found) {
      if (choice.group && choice.group !== group) rows.push(element("li", { className: "group" }, choice.group));
      group = choice.group ?? group;
      rows.push(this.#row(choice, picked.includes(choice.id), preview));
    }
    this.#list.replaceChildren(...rows);
    byId("picker-none").hidden = found.length > 0;
  }

  /** @param {Choice} choice @param {boolean} picked @param {Picking["preview"]} preview */
  #row(choice, picked, preview) {
    const button = element("button", { type: "button", className: "pick", "aria-pressed": picked }, choice.name);
    button.dataset.id = choice.id;
    if (choice.about) button.append(element("small", {}, choice.about));
    button.addEventListener("click", () => this.#pick(choice));
    const row = element("li", {}, button);
    if (preview) {
      const control = element("button", { type: "button", className: "preview" }, "Preview");
      control.append(element("span", { className: "unseen" }, ` ${choice.name}`));
      control.addEventListener("click", () => preview(choice, control));
      row.append(control);
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
