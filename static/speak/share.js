// @ts-check
// Copies a link to the text and its settings.

import { httpUrl } from "../lib/address.js";
import { byId } from "../lib/element.js";
import { linkOf } from "../take/link.js";

const CONTENT = "It holds the text and the settings, not the key.";

/** @param {App} app */
export function mountShare({ store, toast }) {
  byId("share").addEventListener("click", async () => {
    const hash = linkOf(store.state.text, store.state.settings);
    try {
      await navigator.clipboard.writeText(`${httpUrl("")}#${hash}`);
      toast.show(`The link is copied. ${CONTENT}`);
    } catch {
      history.replaceState(null, "", `#${hash}`);
      toast.show(`The link is in the address bar; copy it from there. ${CONTENT}`);
    }
  });
}
