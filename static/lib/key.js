// @ts-check
// The API key, kept for this tab only; where the browser stores nothing, until the page is left.

const NAME = "key";

export class Key {
  /** The key, or "" where none was entered. */
  value = "";

  constructor() {
    attempt(() => (this.value = sessionStorage.getItem(NAME) ?? ""));
  }

  /** @param {string} value */
  set(value) {
    this.value = value;
    attempt(() => sessionStorage.setItem(NAME, value));
  }

  forget() {
    this.value = "";
    attempt(() => sessionStorage.removeItem(NAME));
  }
}

function attempt(/** @type {() => void} */ access) {
  try {
    access();
  } catch {
    // storage is full or forbidden: the page works without
  }
}
