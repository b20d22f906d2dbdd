// @ts-check
// Asks for the API key where the server requires one.

import { byId } from "../lib/element.js";

/** @param {App} app @param {() => void} entered called with a new key stored */
export function mountKeyForm({ store, key }, entered) {
  const form = byId("key-form");
  const input = byId("key");
  const refused = byId("key-refused");

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    key.set(input.value);
    input.value = "";
    refused.hidden = true;
    entered();
  });

  store.watch(["connection"], ({ connection }) => {
    const locked = connection === "locked";
    if (locked && key.value) {
      refused.hidden = false;
      key.forget();
    }
    if (locked === !form.hidden) return;
    if (connection === "connecting" && !form.hidden) return; // keep the form until the key is accepted
    form.hidden = !locked;
    if (locked) input.focus();
  });
}
