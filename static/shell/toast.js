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
  #shownMs = Infinity; // after which it hides itself
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
    box.addEventListener("pointerleave", () => this.shown && this.#startTimer());
    const dialogs = new MutationObserver(() => this.shown && this.#moveToFront());
    for (const dialog of document.querySelectorAll("dialog")) dialogs.observe(dialog, { attributeFilter: ["open"] });
  }

  /** The message that is shown; "" for none. */
  get shown() {
    return this.#text.textContent ?? "";
  }

  /**
   * Show a message. It hides itself after a while unless it is `lasting` or has an action.
   * @param {string} message
   * @param {ToastOptions} options
   */
  show(message, { kind = "info", action, lasting = false } = {}) {
    this.#box.dataset.kind = kind;
    this.#act = action?.act ?? null;
    this.#action.hidden = !action;
    this.#action.textContent = action?.label ?? "";
    this.#text.textContent = message;
    this.#moveToFront();
    this.#shownMs = lasting || action ? Infinity : SHOWN_MS[kind];
    this.#startTimer();
  }

  /** Hide the message, or only if it is this one. @param {string} [message] */
  hide(message) {
    if (message !== undefined && this.shown !== message) return;
    clearTimeout(this.#timer);
    this.#box.hidePopover();
    this.#text.textContent = "";
    this.#act = null;
  }

  #startTimer() {
    clearTimeout(this.#timer);
    if (this.#shownMs < Infinity) this.#timer = setTimeout(() => this.hide(), this.#shownMs);
  }

  // Elements outside an open modal dialog are inert: the box moves into the dialog, and back when it closes.
  #moveToFront() {
    const home = [...document.querySelectorAll("dialog:modal")].at(-1) ?? this.#home;
    if (this.#box.parentElement !== home) home.append(this.#box);
    this.#box.hidePopover(); // reopens above later popovers
    this.#box.showPopover();
  }
}
