// @ts-check
// The API key, kept for this tab only.

const NAME = "key";

export class Key {
  /** The key, or "" where none was entered. */
  get value() {
    return sessionStorage.getItem(NAME) ?? "";
  }

  /** @param {string} value */
  set(value) {
    sessionStorage.setItem(NAME, value);
  }

  forget() {
    sessionStorage.removeItem(NAME);
  }
}
