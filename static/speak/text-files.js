// @ts-check
// Text files, chosen or dropped.

import { receiveDrops } from "../lib/drop-zone.js";
import { byId } from "../lib/element.js";

const NAME = /\.(txt|md|markdown)$/iu;
const MOST_BYTES = 4e6;

/**
 * @param {App} app
 * @param {HTMLElement} zone where files may be dropped
 * @param {(text: string) => void} use
 */
export function mountTextFiles({ toast }, zone, use) {
  const chooser = byId("text-file");

  async function accept(/** @type {File} */ file) {
    if (!NAME.test(file.name) && !file.type.startsWith("text/"))
      toast.show(`“${file.name}” is not a text file; choose a .txt or .md file.`, { kind: "error" });
    else if (file.size > MOST_BYTES) toast.show(`“${file.name}” is larger than 4 MB.`, { kind: "error" });
    else await read(file);
  }

  async function read(/** @type {File} */ file) {
    try {
      use((await file.text()).replace(/\r\n?/g, "\n").replace(/^\ufeff/, ""));
    } catch {
      toast.show(`“${file.name}” could not be read; choose it again.`, { kind: "error" });
    }
  }

  byId("open-file").addEventListener("click", () => chooser.click());
  chooser.addEventListener("change", () => {
    if (chooser.files?.length) accept(chooser.files[0]);
    chooser.value = "";
  });
  receiveDrops(zone, accept);
}
