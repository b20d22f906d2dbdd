// @ts-check
// Keys: Ctrl+Enter plays, Escape stops; in the text that is being read, Space, Left and Right, and typing edits.

import { Output } from "../audio/output.js";
import { byId } from "../lib/element.js";

/** @param {App} app @param {Reader} reader @param {Controls} controls */
export function mountKeys(app, reader, controls) {
  const { store, player, speaker } = app;
  document.addEventListener("keydown", (event) => pressed(event, app, controls));
  byId("text").addEventListener("keydown", (event) => {
    if (!reader.editable) readingKey(event, app, controls);
  });
  // Open the audio device at the first click or key press, before the first sound.
  const open = () => {
    const { ready } = store.state;
    if (ready && !Output.obstacle()) player.output.open([ready.sample_rate, ...ready.sample_rates]);
  };
  for (const type of ["pointerdown", "keydown"]) addEventListener(type, open, { once: true, capture: true });
  addEventListener("pagehide", () => speaker.pause());
}

/** @param {KeyboardEvent} event @param {App} app @param {Controls} controls */
function pressed(event, { store, speaker }, controls) {
  if (event.isComposing || event.defaultPrevented) return; // an input method has its own keys
  const question = /** @type {Element} */ (event.target).closest?.(".asked");
  if (question ?? document.querySelector("dialog:modal, #download-menu:popover-open")) return;
  if (event.key === "Escape") {
    speaker.stop();
  } else if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && store.state.tab === "speak") {
    event.preventDefault();
    const button = byId("play");
    if (!event.repeat && !button.disabled) controls.playAgain();
  }
}

/**
 * @param {KeyboardEvent} event in the text, while it is read
 * @param {App} app
 * @param {Controls} controls
 */
function readingKey(event, { speaker }, controls) {
  const command = event.ctrlKey || event.metaKey || event.altKey;
  const typed = event.key.length === 1 && event.key !== " " && !command;
  if (typed) controls.edit();
  else if (event.key === "Enter" && !command) controls.edit();
  else if (event.key === " ") controls.playOrPause();
  else if (event.key === "ArrowLeft" && !event.shiftKey) speaker.skipWord(-1);
  else if (event.key === "ArrowRight" && !event.shiftKey) speaker.skipWord(1);
  else return;
  if (!typed) event.preventDefault();
}
