// @ts-check
// Mono 16-bit PCM that grows at its end, in blocks, so that growing copies nothing.

const BLOCK = 1 << 16; // samples

export class Pcm {
  /** @type {Int16Array<ArrayBuffer>[]} */
  #blocks = [];
  #length = 0;

  /** Samples held. */
  get length() {
    return this.#length;
  }

  /** @param {Int16Array} samples */
  append(samples) {
    for (let from = 0; from < samples.length; ) {
      const within = this.#length % BLOCK;
      if (within === 0) this.#blocks.push(new Int16Array(BLOCK));
      const part = samples.subarray(from, from + BLOCK - within);
      this.#blocks[this.#blocks.length - 1].set(part, within);
      this.#length += part.length;
      from += part.length;
    }
  }

  /** Return the samples in parts, without copying them. */
  parts() {
    return this.#blocks.map((block, at) => block.subarray(0, Math.min(BLOCK, this.#length - at * BLOCK)));
  }

  /** Drop everything from a sample on. @param {number} length */
  truncate(length) {
    if (length >= this.#length) return;
    this.#length = Math.max(0, length);
    this.#blocks.length = Math.ceil(this.#length / BLOCK);
  }

  /** @param {number} at a sample before the end */
  sample(at) {
    return this.#blocks[Math.floor(at / BLOCK)][at % BLOCK];
  }

  /**
   * Return a copy of a range, which is clipped to what is held.
   * @param {number} [from]
   * @param {number} [to]
   */
  slice(from = 0, to = this.#length) {
    const end = Math.min(to, this.#length);
    const copy = new Int16Array(Math.max(0, end - from));
    for (let at = from; at < end; ) {
      const within = at % BLOCK;
      const part = this.#blocks[Math.floor(at / BLOCK)].subarray(within, Math.min(BLOCK, within + end - at));
      copy.set(part, at - from);
      at += part.length;
    }
    return copy;
  }
}
