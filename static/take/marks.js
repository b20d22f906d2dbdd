// @ts-check
// Searching marks: lists of sentences or words, ascending in the text and in the sound.

/**
 * Return the index of the last mark that begins at or before a sample; -1 if there is none.
 * @param {Mark[]} marks
 * @param {number} sample
 */
export function indexAt(marks, sample) {
  let [low, high] = [0, marks.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (marks[middle].at <= sample) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/**
 * Return the mark that contains a text offset, or else the next one after it; null if there is none.
 * @param {Mark[]} marks
 * @param {number} offset
 */
export function markOver(marks, offset) {
  let [low, high] = [0, marks.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (marks[middle].end <= offset) low = middle + 1;
    else high = middle;
  }
  return marks[low] ?? null;
}
