// @ts-check
// Shows the request as code, to copy.

import { httpUrl } from "../lib/address.js";
import { byId, element } from "../lib/element.js";
import { makeClosable } from "../lib/sheet.js";
import { speechOf } from "../take/settings.js";
import { snippetsOf } from "../take/snippets.js";

/** @param {App} app */
export function mountCode(app) {
  const { store, key, toast } = app;
  const dialog = byId("code");
  let chosen = "curl";
  makeClosable(dialog);

  function show() {
    const { settings, text, ready } = store.state;
    const speech = speechOf(settings, ready?.options ?? []);
    const snippets = snippetsOf({ text, settings: speech, address: httpUrl(""), locked: key.value !== "" });
    const buttons = snippets.map(({ id, name }) => {
      const button = element("button", { type: "button", "aria-pressed": id === chosen }, name);
      button.addEventListener("click", () => {
        chosen = id;
        show();
        /** @type {HTMLElement | undefined} */ (byId("code-kinds").querySelector("[aria-pressed=true]"))?.focus();
      });
      return button;
    });
    byId("code-kinds").replaceChildren(...buttons);
    const snippet = snippets.find(({ id }) => id === chosen) ?? snippets[0];
    byId("code-text").textContent = snippet.code;
    byId("code-note").textContent = snippet.note;
  }

  byId("copy-code").addEventListener("click", () => {
    show();
    dialog.showModal();
  });
  byId("code-copy").addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(byId("code-text").textContent ?? "");
      dialog.close();
      toast.show("Copied.");
    } catch {
      getSelection()?.selectAllChildren(byId("code-text"));
      byId("code-note").textContent = "The browser does not allow copying; the code is selected, press Ctrl+C.";
    }
  });
}
