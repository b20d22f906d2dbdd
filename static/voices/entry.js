// @ts-check
// An entry of a list: what it is about, with buttons beside it and warnings below.

import { element } from "../lib/element.js";

/**
 * @param {string} name
 * @param {string} facts
 * @param {string[]} warnings
 * @param {HTMLElement[]} actions
 */
export function entry(name, facts, warnings, actions) {
  const about = element("p", {}, element("strong", {}, name), " ", element("span", {}, facts));
  const line = element("div", { className: "entry" }, about, element("div", { className: "actions" }, ...actions));
  const item = element("li", {}, line);
  item.dataset.name = name;
  if (warnings.length) item.append(element("ul", { className: "warnings" }, ...items(warnings)));
  return item;
}

/** Return sentences as the items of a list. @param {string[]} sentences */
export function items(sentences) {
  return sentences.map((sentence) => element("li", {}, sentence));
}
