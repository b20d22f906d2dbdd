// @ts-check
// Questions about an entry of a list, such as whether to delete it.

import { element } from "../lib/element.js";

/**
 * Return a button. `about` is read by screen readers but not shown.
 * @param {string} label
 * @param {string} about
 */
export function button(label, about = "") {
  const control = element("button", { type: "button" }, label);
  if (about) control.append(element("span", { className: "unseen" }, ` ${about}`));
  return control;
}

/**
 * Show a question in place of an entry's buttons until it is answered. Escape answers "Keep".
 * @param {HTMLElement} item the entry, with an element of the class `actions`
 * @param {string} question
 * @param {Record<string, () => unknown>} choices what each answer does
 * @param {Notice} notice where errors are shown
 */
export function ask(item, question, choices, notice) {
  item.querySelector(".asked")?.remove();
  const actions = /** @type {HTMLElement} */ (item.querySelector(".actions"));
  const asked = element("div", { className: "asked actions" }, element("p", { className: "question" }, question));
  asked.setAttribute("role", "group");
  asked.ariaLabel = question;
  const back = () => {
    asked.remove();
    actions.hidden = false;
    /** @type {HTMLElement} */ (actions.lastElementChild).focus();
  };
  for (const [label, act] of Object.entries(choices)) {
    const choice = button(label);
    choice.addEventListener("click", async () => {
      if (!(await notice.attempt(choice, act))) back();
    });
    asked.append(choice);
  }
  const keep = button("Keep");
  keep.addEventListener("click", back);
  asked.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || event.isComposing) return;
    event.preventDefault(); // does not stop speech as well
    event.stopPropagation();
    back();
  });
  asked.append(keep);
  actions.hidden = true;
  actions.after(asked);
  keep.focus();
}
