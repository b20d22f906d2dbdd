// @ts-check
// Searching marks: lists of sentences or words, ascending in the text and in the sound.

import { partition } from "../lib/partition.js";

/**
 * Return the index of the last mark that begins at or before a sample; -1 if there is none.
 * @param {Mark[]} marks
 * @param {number} sample
 */
export function indexAt(marks, sample) {
  return partition(marks.length, (at) => marks[at].at <= sample) - 1;
}

/**
 * Return the mark that contains a text offset, or else the next one after it; null if there is none.
 * @param {Mark[]} marks
 * @param {number} offset
 */
export function markOver(marks, offset) {
  return marks[partition(marks.length, (at) => marks[at].end <= offset)] ?? null;
}
