// @ts-check
// Delays between attempts to reconnect: they double, with jitter, so that clients do not return all at once.

const FIRST_MS = 500;
const LONGEST_MS = 15_000;

export class Backoff {
  #delay = FIRST_MS;
  #random;

  /** @param {() => number} random 0 to 1 */
  constructor(random = Math.random) {
    this.#random = random;
  }

  /** Return the next delay in milliseconds. */
  next() {
    const delay = this.#delay * (0.5 + this.#random());
    this.#delay = Math.min(LONGEST_MS, 2 * this.#delay);
    return delay;
  }

  reset() {
    this.#delay = FIRST_MS;
  }
}
