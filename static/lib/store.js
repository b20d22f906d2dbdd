// @ts-check
// A store of named values that tells watchers which of them changed.

/** @template {object} State */
export class Store {
  /** @type {State} */
  #state;
  /** @type {{ names: (keyof State)[], act: (state: State) => void }[]} */
  #watchers = [];

  /** @param {State} initial */
  constructor(initial) {
    this.#state = { ...initial };
  }

  /** The current values; replace them with `set`, never in place. @returns {Readonly<State>} */
  get state() {
    return this.#state;
  }

  /** Replace some values and call the watchers of those that changed. @param {Partial<State>} changes */
  set(changes) {
    const names = /** @type {(keyof State)[]} */ (Object.keys(changes));
    const changed = names.filter((name) => !Object.is(this.#state[name], changes[name]));
    if (!changed.length) return;
    this.#state = { ...this.#state, ...changes };
    for (const watcher of [...this.#watchers])
      if (watcher.names.some((name) => changed.includes(name))) watcher.act(this.#state);
  }

  /**
   * Call `act` now and whenever one of the named values changes.
   * @param {(keyof State)[]} names
   * @param {(state: State) => void} act
   */
  watch(names, act) {
    this.#watchers.push({ names, act });
    act(this.#state);
  }
}
