// @ts-check
// Stores the settings and the text in this browser, and applies those of a link.

import { readLink } from "../take/link.js";
import { settingsOf } from "../take/settings.js";

const WRITE_MS = 300;
const FIRST_TEXT =
  "Text arrives a few words at a time, and speech follows a few milliseconds later. " +
  "Click a word to hear it from there, drag along the waveform, or change the speed while it speaks. " +
  "What would you like to hear?";

/** Return the settings and the text to begin with. */
export function restored() {
  const kept = { settings: settingsOf(parsed(stored("settings"))), text: stored("text") ?? FIRST_TEXT };
  const linked = readLink(location.hash, kept.settings);
  if (!linked) return kept;
  history.replaceState(null, "", location.pathname + location.search); // the link does not describe later edits
  return { settings: linked.settings, text: linked.text ?? kept.text };
}

/** Store changes as they happen. @param {App["store"]} store */
export function keepChanges(store) {
  let timer = 0;
  const write = () => {
    clearTimeout(timer);
    const { settings, text } = store.state;
    try {
      localStorage.setItem("settings", JSON.stringify(settings));
      localStorage.setItem("text", text);
    } catch {
      // storage is full or forbidden: the page works without
    }
  };
  store.watch(["settings", "text"], () => {
    clearTimeout(timer);
    timer = setTimeout(write, WRITE_MS);
  });
  addEventListener("pagehide", write);
}

function stored(/** @type {string} */ name) {
  try {
    return localStorage.getItem(name);
  } catch {
    return null; // storage is forbidden
  }
}

function parsed(/** @type {string | null} */ json) {
  try {
    return JSON.parse(json ?? "null");
  } catch {
    return null;
  }
}
