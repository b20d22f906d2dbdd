// @ts-check
// The page's state, in one place. Panels read it and watch it; the writers of each value are named here.

import { Store } from "./lib/store.js";

/** @param {{ text: string, settings: PageSettings }} restored */
export function createStore(restored) {
  return new Store(
    /** @type {State} */ ({
      tab: "speak",
      connection: "connecting",
      ready: null,
      voices: [],
      status: null,
      ...restored,
    }),
  );
}

/**
 * Change some of the settings.
 * @param {Store<State>} store
 * @param {Partial<PageSettings>} changes
 */
export function changeSettings(store, changes) {
  store.set({ settings: { ...store.state.settings, ...changes } });
}
