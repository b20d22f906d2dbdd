// @ts-check
// Downloads: WAV and subtitles of what has arrived, at once; MP3 and Opus made by the server.

import { byId, element } from "../lib/element.js";
import { beginningOf } from "../take/beginning.js";
import { generateBody } from "../take/settings.js";
import { cuesOf, srtOf, vttOf } from "../take/subtitles.js";
import { wavParts } from "../take/wav.js";

const TYPES = { wav: "audio/wav", srt: "application/x-subrip", vtt: "text/vtt", mp3: "audio/mpeg", opus: "audio/ogg" };
const KEPT_MS = 60_000;

/** @param {App} app */
export function mountDownload({ player, api, toast }) {
  const menu = byId("download-menu");

  /** @param {keyof typeof TYPES} format */
  async function download(format) {
    const take = player.take;
    if (!take) return;
    try {
      const parts = await partsOf(take, format);
      save(new Blob(parts, { type: TYPES[format] }), `${nameOf(take.text)}.${format}`);
      if (!take.complete && ["wav", "srt", "vtt"].includes(format)) toast.show("This is what has arrived so far.");
    } catch (error) {
      toast.show(/** @type {Error} */ (error).message, { kind: "error" });
    }
  }

  /** @param {Take} take @param {string} format @returns {Promise<BlobPart[]>} */
  async function partsOf(take, format) {
    if (format === "wav") return wavParts(take.pcm.slice(), take.rate);
    if (format === "srt") return [srtOf(cuesOf(take))];
    if (format === "vtt") return [vttOf(cuesOf(take))];
    const waiting = `The server is making the ${format === "mp3" ? "MP3" : "Opus"} file…`;
    toast.show(waiting, { lasting: true });
    try {
      return [await api.bytes("generate", generateBody(take.text, take.settings, format))];
    } finally {
      toast.hide(waiting);
    }
  }

  menu.addEventListener("click", (event) => {
    const format = /** @type {HTMLElement} */ (event.target).closest("button")?.dataset.format;
    if (!format) return;
    menu.hidePopover();
    download(/** @type {keyof typeof TYPES} */ (format));
  });
}

/** Download a file. @param {Blob} blob @param {string} name */
function save(blob, name) {
  const href = URL.createObjectURL(blob);
  element("a", { href, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(href), KEPT_MS);
}

/** Return a file name of the text's first words. @param {string} text */
function nameOf(text) {
  const words = beginningOf(text).match(/[\p{L}\p{N}]+/gu) ?? [];
  return words.slice(0, 5).join("-").slice(0, 60).toLowerCase() || "speech";
}
