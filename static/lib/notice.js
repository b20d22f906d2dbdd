// A status line, and the error whose message it can show.

// An error with a message for the user.
export class Refusal extends Error {
  constructor(message, code = "") {
    super(message);
    this.code = code; // the server's error code, if it refused the request
  }
}

export class Notice {
  #line;

  constructor(line) {
    this.#line = line;
  }

  say(words) {
    this.#line.textContent = words;
    this.#line.dataset.state = "good";
  }

  showError(error) {
    if (!(error instanceof Refusal)) console.error(error);
    this.#line.textContent = error.message;
    this.#line.dataset.state = "bad";
  }

  // Runs a button's action with the button disabled. Returns whether it succeeded; shows the error if not.
  async attempt(button, action) {
    const held = document.activeElement === button;
    button.disabled = true;
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
