// @ts-check
// One sound at a time: starting a sound stops the one before, also in other tabs of this page.

export class AudioFocus {
  /** @type {{ owner: object, stop: () => void } | null} */
  #holder = null;
  #others = new BroadcastChannel("audio-focus");

  constructor() {
    this.#others.onmessage = () => this.#stop();
  }

  /**
   * Stop the current sound and become its successor. `stop` is called when another sound starts.
   * @param {object} owner
   * @param {() => void} stop
   */
  acquire(owner, stop) {
    if (this.#holder?.owner !== owner) this.#stop();
    this.#holder = { owner, stop };
    this.#others.postMessage("sound");
  }

  /** @param {object} owner */
  release(owner) {
    if (this.#holder?.owner === owner) this.#holder = null;
  }

  #stop() {
    const holder = this.#holder;
    this.#holder = null;
    holder?.stop();
  }
}
