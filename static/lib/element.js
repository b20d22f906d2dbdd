// @ts-check
// Finding and making elements.

import { httpUrl } from "./address.js";

const SVG = "http://www.w3.org/2000/svg";

/**
 * Return the element of an id, which the page has.
 * @template {Element} [Kind=HTMLElement]
 * @param {string} id
 * @returns {Kind}
 */
export function byId(id) {
  return /** @type {Kind} */ (/** @type {unknown} */ (document.getElementById(id)));
}

/**
 * Return a new element. Properties that are no properties of elements, such as aria-label, become attributes.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, any>} [properties]
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-")) made.setAttribute(name, String(value));
    else Reflect.set(made, name, value);
  }
  made.append(...children);
  return made;
}

/**
 * Return an icon of icons.svg.
 * @param {string} name
 * @param {boolean} line whether it is drawn with lines, not filled
 */
export function icon(name, line = true) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", line ? "icon line" : "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", httpUrl(`static/icons.svg#${name}`));
  svg.append(use);
  return svg;
}
