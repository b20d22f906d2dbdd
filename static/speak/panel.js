// @ts-check
// The Speak tab: puts its parts together.

import { byId } from "../lib/element.js";
import { mountDock } from "../player/dock.js";
import { mountCode } from "./code-dialog.js";
import { Controls } from "./controls.js";
import { mountExamples } from "./examples.js";
import { mountHistory } from "./history.js";
import { mountKeys } from "./keys.js";
import { mountHighlighter } from "./highlighter.js";
import { mountOptions } from "./options.js";
import { Reader } from "./reader.js";
import { mountShare } from "./share.js";
import { mountTextFiles } from "./text-files.js";
import { mountTextSize } from "./text-size.js";
import { mountWaterfall } from "./waterfall.js";

const CHANGE_MS = 250; // debounces sliders

/** @param {HTMLElement} panel @param {App} app */
export function mount(panel, app) {
  const { store, player, speaker } = app;
  const reader = new Reader(byId("text"));
  const controls = new Controls(app, reader);

  mountOptions(app);
  mountWaterfall(app);
  mountCode(app);
  mountShare(app);
  mountHistory(app, (take) => controls.replay(take));
  mountTextFiles(app, /** @type {HTMLElement} */ (panel.querySelector(".paper")), (text) => controls.replaceText(text));
  mountExamples((text) => controls.speakText(text));
  mountTextSize(app);
  mountHighlighter(app, reader);
  mountKeys(app, reader, controls);
  mountDock(app, () => controls.playOrPause());

  reader.text = store.state.text;
  reader.on("input", () => {
    store.set({ text: reader.text });
    controls.clearTextError();
  });
  reader.on("seek", ({ offset }) => {
    if (player.take) speaker.playFrom(player.take.points.toPoints(offset));
    reader.follow();
  });
  reader.on("follow", () => (byId("follow").hidden = reader.following));
  byId("follow").addEventListener("click", () => {
    reader.follow();
    reader.focus();
  });
  byId("edit").addEventListener("click", () => {
    controls.edit();
    reader.focus();
  });

  let changing = 0;
  store.watch(["settings"], ({ settings }) => {
    reader.setLanguage(settings.language);
    clearTimeout(changing);
    changing = setTimeout(() => controls.changeSettings(), CHANGE_MS);
  });
  store.watch(["text"], ({ text }) => panel.querySelector(".paper")?.classList.toggle("empty", text === ""));
  store.watch(["connection", "ready"], () => controls.show());
}
