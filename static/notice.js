// A line that tells how something goes, and the errors it can tell of.

// Something that went wrong, in a sentence for the person at the page.
export class Refusal extends Error {
  constructor(message, code = "") {
    super(message);
    this.code = code; // the server's, if it was the server that refused
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

  complain(error) {
    if (!(error instanceof Refusal)) console.error(error);
    this.#line.textContent = error.message;
    this.#line.dataset.state = "bad";
  }

  // Does what a button asks for, once at a time. Whether it was done; if not, the line says why.
  async attempt(button, action) {
    const held = document.activeElement === button;
    button.disabled = true;
    try {
      await action();
      return true;
    } catch (error) {
      this.complain(error);
      return false;
    } finally {
      button.disabled = false;
      if (held && document.activeElement === document.body) button.focus(); // a disabled one loses the keyboard
    }
  }
}
