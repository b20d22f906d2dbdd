// @ts-check
// The text: an editor while it is written, a reader while it is spoken. The word and the sentence that are heard
// are highlighted by the CSS Custom Highlight API, so the text itself never changes and can be selected at any time.

import { Emitter } from "../lib/emitter.js";

const BAND = [0.12, 0.72]; // share of the height where the highlighted word needs no scrolling
const PLACE = 0.3; // share of the height to which it is scrolled
const SMOOTH_MS = 1000; // the most that smooth scrolling takes

/** Events: "input" (the text was edited), "seek" with the detail { offset } (a word was clicked), "follow". */
export class Reader extends Emitter {
  #element;
  #sentence = new Highlight();
  #word = new Highlight();
  #highlighted = "";
  #following = true;
  /** @type {{ top: number, width: number, height: number } | null} the view after the last word; null if unknown */
  #view = null;
  #scrollsUntil = 0;
  #editable = true;
  #still = matchMedia("(prefers-reduced-motion: reduce)");

  /** @param {HTMLElement} element an element whose only content is the text */
  constructor(element) {
    super();
    this.#element = element;
    CSS.highlights.set("sentence", this.#sentence);
    CSS.highlights.set("word", this.#word);
    element.addEventListener("input", () => this.emit("input"));
    element.addEventListener("paste", (event) => this.#paste(event));
    element.addEventListener("keydown", (event) => this.#key(event));
    element.addEventListener("click", (event) => this.#clicked(event));
    for (const type of ["wheel", "touchmove"])
      element.addEventListener(type, () => this.#stopFollowing(), { passive: true });
    element.addEventListener("pointerdown", (event) => {
      if (event.offsetX > element.clientWidth || event.offsetX < 0) this.#stopFollowing(); // the scrollbar
    });
    element.addEventListener("scrollend", () => (this.#scrollsUntil = 0));
    this.editable = true;
  }

  get text() {
    if (!this.#element.firstElementChild) return this.#element.textContent ?? "";
    const text = textOf(this.#element);
    return text === "\n" ? "" : text; // browsers leave a line break in an emptied editor
  }

  set text(text) {
    this.clear();
    this.#element.textContent = text;
    this.#element.scrollTop = 0;
    this.emit("input");
  }

  get editable() {
    return this.#editable;
  }

  set editable(editable) {
    this.#editable = editable;
    if (!editable) this.#flatten();
    this.#element.contentEditable = editable ? "plaintext-only" : "false";
    if (editable) this.#element.removeAttribute("aria-readonly");
    else this.#element.setAttribute("aria-readonly", "true");
    if (editable) this.clear();
  }

  /** True while the highlighted word is kept in view. */
  get following() {
    return this.#following;
  }

  follow() {
    this.#following = true;
    this.#view = null;
    this.emit("follow");
    this.#reveal();
  }

  focus() {
    this.#element.focus({ preventScroll: true });
  }

  /** Set the language of the text. @param {string} language a tag, or "auto" */
  setLanguage(language) {
    if (language === "auto") this.#element.removeAttribute("lang");
    else this.#element.lang = language;
  }

  /** Remove the highlights. */
  clear() {
    this.highlight(null, null);
    this.#following = true;
    this.#view = null;
  }

  /**
   * Highlight a sentence and a word in it, given their UTF-16 offsets.
   * @param {{ start: number, end: number } | null} sentence
   * @param {{ start: number, end: number } | null} word
   */
  highlight(sentence, word) {
    const key = `${sentence?.start}:${sentence?.end}:${word?.start}`;
    if (key === this.#highlighted) return;
    this.#highlighted = key;
    this.#set(this.#sentence, sentence);
    this.#set(this.#word, word);
    if (word ?? sentence) this.#reveal();
  }

  #set(/** @type {Highlight} */ highlight, /** @type {{ start: number, end: number } | null} */ part) {
    highlight.clear();
    const node = this.#element.firstChild;
    if (!part || !node || part.end > (node.nodeValue ?? "").length) return;
    const range = new Range();
    range.setStart(node, part.start);
    range.setEnd(node, part.end);
    highlight.add(range);
  }

  // Scrolls the highlighted word into view, unless the user has scrolled or selected text.
  #reveal() {
    const [range] = [...this.#word, ...this.#sentence];
    if (!this.#following || !range || this.#selected) return;
    if (this.#moved) {
      this.#stopFollowing();
      return;
    }
    const box = this.#element.getBoundingClientRect();
    const lit = /** @type {Range} */ (range).getBoundingClientRect();
    const at = (lit.top - box.top) / box.height;
    if (at >= BAND[0] && (lit.bottom - box.top) / box.height <= BAND[1]) return;
    const { scrollTop, scrollHeight, clientHeight } = this.#element;
    const wanted = scrollTop + lit.top - box.top - PLACE * box.height;
    const top = Math.max(0, Math.min(wanted, scrollHeight - clientHeight));
    const distance = Math.abs(top - scrollTop);
    if (distance < 1) return; // at an end of the text
    const smooth = distance < box.height && !this.#still.matches;
    this.#element.scrollTo({ top, behavior: smooth ? "smooth" : "instant" });
    this.#scrollsUntil = performance.now() + SMOOTH_MS;
    this.#view = null;
  }

  // Whether the text was scrolled since the last word, other than by itself. The view may have moved before the
  // event that moved it arrives here, and moves without one when the user searches the page.
  get #moved() {
    const { scrollTop: top, clientWidth: width, clientHeight: height } = this.#element;
    const before = this.#view;
    this.#view = performance.now() < this.#scrollsUntil ? null : { top, width, height };
    if (!before || !this.#view) return false;
    return Math.abs(top - before.top) > 1 && width === before.width && height === before.height;
  }

  get #selected() {
    const selection = getSelection();
    return Boolean(selection && !selection.isCollapsed && this.#element.contains(selection.anchorNode));
  }

  // The user scrolls: stop following the speech until asked to.
  #stopFollowing() {
    if (this.#editable || !this.#following) return;
    this.#following = false;
    if (performance.now() < this.#scrollsUntil) this.#element.scrollTo({ behavior: "instant" }); // or it would go on
    this.emit("follow");
  }

  #paste(/** @type {ClipboardEvent} */ event) {
    event.preventDefault();
    document.execCommand("insertText", false, event.clipboardData?.getData("text/plain") ?? "");
  }

  #key(/** @type {KeyboardEvent} */ event) {
    if (this.#editable) return;
    if (["PageUp", "PageDown", "ArrowUp", "ArrowDown", "Home", "End"].includes(event.key)) this.#stopFollowing();
  }

  #clicked(/** @type {MouseEvent} */ event) {
    if (this.#editable || this.#selected) return;
    const place = document.caretPositionFromPoint?.(event.clientX, event.clientY);
    const range = place ? null : document.caretRangeFromPoint?.(event.clientX, event.clientY);
    const [node, offset] = place ? [place.offsetNode, place.offset] : [range?.startContainer, range?.startOffset ?? 0];
    if (!node || node !== this.#element.firstChild) return;
    this.emit("seek", { offset });
  }

  // Makes the text one node, which offsets can point into.
  #flatten() {
    if (this.#element.childNodes.length > 1 || this.#element.firstElementChild) this.#element.textContent = this.text;
  }
}

// Returns the text of an element in which a browser has put line breaks of its own.
function textOf(/** @type {Node} */ node) {
  if (node.nodeName === "BR") return "\n";
  if (node.nodeType === Node.TEXT_NODE) return node.nodeValue ?? "";
  let text = "";
  for (const child of node.childNodes) {
    if (child.nodeName === "DIV" && text && !text.endsWith("\n")) text += "\n";
    text += textOf(child);
  }
  return text;
}
