// @ts-check
// Short messages above the player: what happened, and what can be done about it.

const SHOWN_MS = { info: 6000, error: 15_000 };

export class Toast {
  #box;
  #home;
  #text;
  #action;
  /** @type {Timer | undefined} */
  #timer;
  /** @type {(() => void) | null} */
  #act = null;

  /** @param {HTMLElement} box */
  constructor(box) {
    this.#box = box;
    this.#home = /** @type {HTMLElement} */ (box.parentElement);
    this.#text = /** @type {HTMLElement} */ (box.querySelector(".toast-text"));
    this.#action = /** @type {HTMLButtonElement} */ (box.querySelector(".toast-action"));
    this.#action.addEventListener("click", () => {
      const act = this.#act;
      this.hide();
      act?.();
    });
    box.querySelector(".toast-close")?.addEventListener("click", () => this.hide());
    box.addEventListener("pointerenter", () => clearTimeout(this.#timer));
  }

  /**
   * Show a message. It leaves by itself unless it is `lasting` or has an action.
   * @param {string} message
   * @param {ToastOptions} options
   */
  show(message, { kind = "info", action, lasting = false } = {}) {
    clearTimeout(this.#timer);
    this.#box.dataset.kind = kind;
    this.#act = action?.act ?? null;
    this.#action.hidden = !action;
    this.#action.textContent = action?.label ?? "";
    this.#text.textContent = message;
    this.#box.hidePopover();
    this.#moveToFront();
    this.#box.showPopover();
    if (!lasting && !action) this.#timer = setTimeout(() => this.hide(), SHOWN_MS[kind]);
  }

  /** Move into the dialog that is open, if any: what is outside of it can be neither pressed nor announced. */
  #moveToFront() {
    const dialog = [...document.querySelectorAll("dialog:modal")].at(-1);
    (dialog ?? this.#home).append(this.#box);
    dialog?.addEventListener("close", () => this.#leave(), { once: true });
  }

  #leave() {
    this.#home.append(this.#box);
    if (this.shown) this.#box.showPopover();
  }

  /** The message that is shown; "" for none. */
  get shown() {
    return this.#text.textContent ?? "";
  }

  /** Hide the message, or only if it is this one. @param {string} [message] */
  hide(message) {
    if (message !== undefined && this.#text.textContent !== message) return;
    clearTimeout(this.#timer);
    this.#box.hidePopover();
    this.#text.textContent = "";
    this.#act = null;
  }
}
