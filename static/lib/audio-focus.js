// @ts-check
// One sound at a time: whoever starts a sound stops the one before, in other tabs of this page too.

export class AudioFocus {
  /** @type {{ owner: object, stop: () => void } | null} */
  #holder = null;
  #others = new BroadcastChannel("audio-focus");

  constructor() {
    this.#others.onmessage = () => this.#stop();
  }

  /**
   * Stop whatever sounds, and take its place. `stop` is called when another sound starts.
   * @param {object} owner
   * @param {() => void} stop
   */
  take(owner, stop) {
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
