// @ts-check
// Binary search.

/**
 * Return the number of indices below `count` that fulfil a condition, which must hold for a prefix of them.
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
