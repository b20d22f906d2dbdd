// @ts-check
// Offsets in a text: the server counts code points, JavaScript counts UTF-16 units.

import { partition } from "../lib/partition.js";

const WIDE = /[\ud800-\udbff][\udc00-\udfff]/g;

/** Return the length of a text in code points. @param {string} text */
export function lengthOf(text) {
  return text.length - (text.match(WIDE)?.length ?? 0);
}

export class CodePoints {
  /** @type {number[]} code point offsets of the characters that take two units, ascending */
  #wide = [];
  /** The text's length in code points. */
  length = 0;

  /** @param {string} text */
  constructor(text) {
    for (const character of text) {
      if (character.length === 2) this.#wide.push(this.length);
      this.length += 1;
    }
  }

  /** Return the UTF-16 offset of a code point offset. @param {number} point */
  toUnits(point) {
    return point + partition(this.#wide.length, (at) => this.#wide[at] < point);
  }

  /** Return the code point offset of a UTF-16 offset. @param {number} unit */
  toPoints(unit) {
    return unit - partition(this.#wide.length, (at) => this.#wide[at] + at < unit - 1);
  }
}
