// @ts-check
// The loudness of a take over time: the highest absolute value of each bin, kept up to date as sound arrives.

const BIN_S = 0.02;

export class Peaks {
  /** @type {number[]} 0 to 127 */
  bins = [];
  #take;
  #measured = 0; // samples

  /** @param {Take} take */
  constructor(take) {
    this.#take = take;
    this.size = Math.round(BIN_S * take.rate);
    take.on("cut", () => this.#forget());
  }

  /** Measure the sound that has arrived since the last call. */
  update() {
    const { pcm, length } = this.#take;
    if (length === this.#measured) return;
    const samples = pcm.slice(this.#measured);
    for (let at = 0; at < samples.length; at++) {
      const bin = Math.floor((this.#measured + at) / this.size);
      const value = Math.abs(samples[at]) >> 8;
      if (value > (this.bins[bin] ?? -1)) this.bins[bin] = value;
    }
    this.#measured = length;
  }

  // Drops the bins after the cut and the one that contains it.
  #forget() {
    const bins = Math.floor(Math.min(this.#take.length, this.#measured) / this.size);
    this.#measured = bins * this.size;
    this.bins.length = bins;
  }

  /** Return the highest value between two samples, 0 to 1. */
  between(/** @type {number} */ from, /** @type {number} */ to) {
    let most = 0;
    const end = Math.min(this.bins.length, Math.max(Math.floor(from / this.size) + 1, Math.ceil(to / this.size)));
    for (let bin = Math.max(0, Math.floor(from / this.size)); bin < end; bin++) most = Math.max(most, this.bins[bin]);
    return most / 127;
  }
}
