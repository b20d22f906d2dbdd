// @ts-check
// The Speak tab: the text, what is done with it, and the keys.

import { Player } from "../audio/player.js";
import { httpUrl } from "../lib/address.js";
import { byId } from "../lib/element.js";
import { mountDock } from "../player/dock.js";
import { clockOf, estimateOf } from "../take/duration.js";
import { linkOf } from "../take/link.js";
import { sameSpeech, speechOf } from "../take/settings.js";
import { mountCode } from "./code-dialog.js";
import { mountHistory } from "./history.js";
import { mountOptions } from "./options.js";
import { Reader } from "./reader.js";
import { mountWaterfall } from "./waterfall.js";

const TEXT_FILE = /\.(txt|md|markdown)$/iu;
const MOST_FILE_BYTES = 4e6;
const CHANGE_MS = 250; // a slider is at rest before the speech changes

/**
 * @param {HTMLElement} panel
 * @param {import("../app.js").App} app
 */
export function mount(panel, app) {
  const { store, player, speaker, toast } = app;
  const reader = new Reader(byId("text"));
  mountOptions(app);
  mountWaterfall(app);
  mountCode(app);
  mountDock(app, () => (store.state.tab === "compare" && player.take ? speaker.toggle() : playOrPause()));
  mountHistory(app, replay);

  reader.text = store.state.text;
  let wrong = ""; // the message about the text, which editing settles
  reader.addEventListener("input", () => {
    store.set({ text: reader.text });
    toast.hide(wrong);
  });
  reader.addEventListener("seek", ({ detail }) => {
    const take = player.take;
    if (take) speaker.hearFrom(take.points.toPoints(detail.offset));
    reader.follow();
  });
  reader.addEventListener("follow", () => (byId("follow").hidden = reader.following));
  byId("follow").addEventListener("click", () => {
    reader.follow();
    reader.focus();
  });

  const settings = () => speechOf(store.state.settings, store.state.ready?.options ?? []);
  /** Whether the loaded take is of this text with these settings. */
  const current = () => {
    const take = player.take;
    return take !== null && take.text === store.state.text && !take.mixed && sameSpeech(take.settings, settings());
  };
  const paused = () => player.take?.text === store.state.text && !player.active && player.state !== "ended" && player.position > 0;

  // Playing.

  function playOrPause() {
    if (player.active) speaker.pause();
    else if (current() || paused()) resume();
    else begin();
  }

  function resume() {
    read();
    speaker.play();
  }

  function begin(clicked = performance.now()) {
    const { ready, text, connection } = store.state;
    const obstacle = obstacleTo(text);
    wrong = obstacle;
    if (obstacle) {
      toast.show(obstacle, { kind: "error" });
      if (!Player.obstacle()) reader.focus();
      return;
    }
    if (!ready || connection !== "online") {
      toast.show("There is no connection to the server yet.", { kind: "error" });
      return;
    }
    toast.hide();
    read();
    const { tokens, rate } = store.state.settings;
    speaker.speak(text, settings(), { tokens: tokens ? rate : null, clicked });
  }

  function playAgain() {
    if (current()) {
      speaker.seek(0);
      resume();
    } else {
      begin();
    }
  }

  /** @param {string} text */
  function obstacleTo(text) {
    const most = store.state.ready?.limits.context_characters ?? Infinity;
    const length = text.length <= most ? text.length : Array.from(text).length;
    if (Player.obstacle()) return Player.obstacle();
    if (!/[^\s\p{P}]/u.test(text)) return "There is no text to speak; type some text.";
    if (length > most)
      return `The text has ${length.toLocaleString("en")} characters; at most ${most.toLocaleString("en")} are allowed.`;
    return "";
  }

  function replay(/** @type {import("../take/take.js").Take} */ take) {
    edit();
    reader.text = take.text;
    const { voice, language, speed, pitch, options } = take.settings;
    store.set({ tab: "speak", text: take.text, settings: { ...store.state.settings, voice, language, speed, pitch, options } });
    speaker.load(take);
    resume();
  }

  // Editing and reading.

  function edit() {
    reader.editable = true;
    byId("edit").hidden = true;
    byId("follow").hidden = true;
  }

  function read() {
    if (store.state.tab !== "speak") return;
    const held = document.activeElement === byId("text");
    reader.editable = false;
    byId("edit").hidden = false;
    if (held) reader.focus();
  }

  byId("edit").addEventListener("click", () => {
    edit();
    reader.focus();
  });
  byId("text").addEventListener("keydown", (event) => {
    if (reader.editable) return;
    const typed = event.key.length === 1 && event.key !== " " && !event.ctrlKey && !event.metaKey && !event.altKey;
    if (typed || event.key === "Enter") edit();
    else if (event.key === " ") playOrPause();
    else if (event.key === "ArrowLeft" && !event.shiftKey) speaker.skipWord(-1);
    else if (event.key === "ArrowRight" && !event.shiftKey) speaker.skipWord(1);
    else return;
    if (!typed) event.preventDefault();
  });

  // What is heard is lit.

  let frame = 0;
  function light() {
    frame = 0;
    const take = player.take;
    if (!take || reader.editable || take.text !== store.state.text || (!player.active && player.position === 0) || player.state === "ended") {
      reader.light(null, null);
    } else {
      const position = player.position;
      const units = (/** @type {import("../take/marks.js").Mark | null} */ mark) =>
        mark && { start: take.points.toUnits(mark.start), end: take.points.toUnits(mark.end) };
      reader.light(units(take.sentenceAt(position)), units(take.wordAt(position)));
    }
    if (player.active) frame = requestAnimationFrame(light);
  }
  const wake = () => {
    if (!frame) frame = requestAnimationFrame(light);
  };
  player.addEventListener("change", wake);
  player.addEventListener("report", wake);

  // How much text there is, or, while it is heard, how much is left.

  function showSize() {
    const { text, settings: { speed } } = store.state;
    const take = player.take;
    const count = (/** @type {number} */ characters) => characters.toLocaleString("en");
    let size = text ? `${count(text.length)} characters` : "";
    if (take && take.text === text && player.active) {
      const left = (take.expectedSeconds ?? take.seconds) - player.position / take.rate;
      const at = take.sentenceAt(player.position)?.start ?? 0;
      size = `${clockOf(left)} left · ${count(at)} of ${count(take.points.length)} characters`;
    } else if (text.length > 60) {
      size += ` · about ${clockOf(estimateOf(text.length, speed))}`;
    }
    if (byId("text-size").textContent !== size) byId("text-size").textContent = size;
  }
  player.addEventListener("report", showSize);
  player.addEventListener("change", showSize);

  // Settings.

  let changing = 0;
  store.watch(["settings"], () => {
    clearTimeout(changing);
    changing = setTimeout(() => {
      if (store.state.tab === "speak" && player.take?.text === store.state.text) speaker.change(settings());
    }, CHANGE_MS);
  });
  store.watch(["settings"], (state) => reader.setLanguage(state.settings.language));
  store.watch(["text", "settings"], ({ text }) => {
    panel.querySelector(".paper")?.classList.toggle("empty", text === "");
    showSize();
  });
  store.watch(["connection", "ready"], ({ connection, ready }) => {
    /** @type {HTMLButtonElement} */ (byId("play")).disabled = !ready || connection === "locked" || Boolean(Player.obstacle());
    byId("engine-notice").textContent = ready?.notice ?? "";
    byId("engine-notice").hidden = !ready?.notice;
    if (ready && Player.obstacle()) toast.show(Player.obstacle(), { kind: "error", lasting: true });
  });

  // Files, links and keys.

  async function takeFile(/** @type {File} */ file) {
    if (!TEXT_FILE.test(file.name) && !file.type.startsWith("text/"))
      toast.show(`“${file.name}” is not a text file; choose a .txt or .md file.`, { kind: "error" });
    else if (file.size > MOST_FILE_BYTES) toast.show(`“${file.name}” is too large.`, { kind: "error" });
    else {
      edit();
      reader.text = (await file.text()).replace(/\r\n?/g, "\n").replace(/^\ufeff/, "");
    }
  }
  const chooser = /** @type {HTMLInputElement} */ (byId("text-file"));
  byId("open-file").addEventListener("click", () => chooser.click());
  chooser.addEventListener("change", () => {
    if (chooser.files?.length) takeFile(chooser.files[0]);
    chooser.value = "";
  });
  receiveDrops(/** @type {HTMLElement} */ (panel.querySelector(".paper")), takeFile);

  byId("share").addEventListener("click", async () => {
    const hash = linkOf(store.state.text, store.state.settings);
    const link = `${httpUrl("")}#${hash}`;
    try {
      await navigator.clipboard.writeText(link);
      toast.show("The link is copied. It holds the text and the settings, not the key.");
    } catch {
      history.replaceState(null, "", `#${hash}`);
      toast.show("The link is in the address bar; copy it from there. It holds the text and the settings, not the key.");
    }
  });

  document.addEventListener("keydown", (event) => {
    if (event.isComposing || event.defaultPrevented) return; // an input method has its own keys
    const inside =
      document.querySelector("dialog:modal, :popover-open") ?? /** @type {Element} */ (event.target).closest?.(".asked");
    if (event.key === "Escape" && !inside) {
      speaker.stop();
    } else if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && store.state.tab === "speak" && !inside) {
      event.preventDefault();
      if (!event.repeat && !(/** @type {HTMLButtonElement} */ (byId("play")).disabled)) playAgain();
    }
  });

  // The audio device starts with the first touch of the page, not with the first sound.
  for (const type of ["pointerdown", "keydown"])
    addEventListener(type, () => store.state.ready && !Player.obstacle() && player.open([store.state.ready.sample_rate, ...store.state.ready.sample_rates]), { once: true, capture: true });
}

/**
 * @param {HTMLElement} zone
 * @param {(file: File) => void} take
 */
function receiveDrops(zone, take) {
  zone.addEventListener("dragover", (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return; // dragged text is the browser's
    event.preventDefault();
    zone.classList.add("over");
  });
  zone.addEventListener("dragleave", () => zone.classList.remove("over"));
  zone.addEventListener("drop", (event) => {
    const file = event.dataTransfer?.files[0];
    if (!file) return;
    event.preventDefault();
    zone.classList.remove("over");
    take(file);
  });
}
