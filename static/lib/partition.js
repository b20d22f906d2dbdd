// @ts-check
// Binary search.

/**
 * Return how many of the first numbers, from 0 on, fulfil a condition that no later one fulfils.
 * @param {number} count
 * @param {(at: number) => boolean} holds
 */
export function partition(count, holds) {
  let [low, high] = [0, count];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (holds(middle)) low = middle + 1;
    else high = middle;
  }
  return low;
}
