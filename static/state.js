// @ts-check
// The page's state, in one place. Panels read it and watch it; the writers of each value are named here.

import { Store } from "./lib/store.js";

/**
 * @typedef {object} Voice
 * @property {string} id
 * @property {string} name
 * @property {string} style
 */

/**
 * @typedef {object} Ready the server's greeting
 * @property {string} engine
 * @property {string | null} notice
 * @property {"low" | "high"} cost of a second of speech
 * @property {number} sample_rate
 * @property {number[]} sample_rates
 * @property {string[]} languages
 * @property {string[]} options options of speech that this engine uses
 * @property {Voice[]} voices
 * @property {{ contexts: number, parallel_contexts: number, message_bytes: number, text_characters: number,
 *   context_characters: number, messages_per_second: number, max_lead_ms: number }} limits
 */

/**
 * @typedef {object} State
 * @property {string} tab id of the shown tab; written by shell/tabs.js
 * @property {"connecting" | "online" | "offline" | "locked"} connection by shell/connection.js
 * @property {Ready | null} ready the last greeting, kept while offline; by shell/connection.js
 * @property {Voice[]} voices by shell/connection.js from the greeting, and by the Voices panel after changes
 * @property {string} text by speak/panel.js
 * @property {import("./take/settings.js").PageSettings} settings by whatever the user changes them with, through
 *   `changeSettings`
 * @property {any} status the last status message, null while offline; by shell/connection.js
 */

/** @param {{ text: string, settings: import("./take/settings.js").PageSettings }} restored */
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
 * @param {Partial<import("./take/settings.js").PageSettings>} changes
 */
export function changeSettings(store, changes) {
  store.set({ settings: { ...store.state.settings, ...changes } });
}
