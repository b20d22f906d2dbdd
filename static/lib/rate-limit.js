// @ts-check
// A token bucket that says how long to wait before the next message, so that the server's limit is never exceeded.

const SHARE = 0.9; // of the limit, as clocks and networks are uneven

export class RateLimit {
  #perSecond = Infinity;
  #tokens = Infinity;
  #at = 0;

  /**
   * @param {number} perSecond the server's limit; it allows bursts of twice as many
   * @param {number} now milliseconds
   */
  set(perSecond, now) {
    this.#perSecond = SHARE * perSecond;
    this.#tokens = Math.max(1, this.#perSecond);
    this.#at = now;
  }

  /** Return the milliseconds until a message may be sent; 0 if it may be sent now. @param {number} now */
  waitMs(now) {
    this.#refill(now);
    return this.#tokens >= 1 ? 0 : (1000 * (1 - this.#tokens)) / this.#perSecond;
  }

  /** Count a message that is being sent. @param {number} now */
  count(now) {
    this.#refill(now);
    this.#tokens -= 1;
  }

  /** @param {number} now */
  #refill(now) {
    if (this.#perSecond === Infinity) return;
    const gained = ((now - this.#at) / 1000) * this.#perSecond;
    this.#tokens = Math.min(Math.max(1, this.#perSecond), this.#tokens + gained);
    this.#at = now;
  }
}
