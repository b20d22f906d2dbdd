// @ts-check
// A status line, which can show errors.

import { UserError } from "./user-error.js";

export class Notice {
  #line;

  /** @param {HTMLElement} line */
  constructor(line) {
    this.#line = line;
  }

  /** @param {string} words */
  say(words) {
    this.#line.textContent = words;
    this.#line.dataset.state = "good";
  }

  /** @param {unknown} error */
  showError(error) {
    if (!(error instanceof UserError)) console.error(error);
    this.#line.textContent = error instanceof Error ? error.message : String(error);
    this.#line.dataset.state = "bad";
  }

  /** Clear an error; leave other messages. */
  clearError() {
    if (this.#line.dataset.state === "bad") this.say("");
  }

  /**
   * Run a button's action with the button disabled. Return whether it succeeded; show the error if not.
   * @param {HTMLButtonElement} button
   * @param {() => unknown} action
   */
  async attempt(button, action) {
    const held = document.activeElement === button;
    button.disabled = true;
    this.clearError();
    try {
      await action();
      return true;
    } catch (error) {
      this.showError(error);
      return false;
    } finally {
      button.disabled = false;
      if (held && document.activeElement === document.body) button.focus(); // a disabled button loses the focus
    }
  }
}
