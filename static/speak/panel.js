// The Speak tab: sends text, plays speech, and shows the transcript.

import { Player } from "../audio/player.js";
import { Spectrum } from "./spectrum.js";
import { Transcript } from "./transcript.js";

const HEADER_BYTES = 16;
const POLICY = 1008;
const PLAYED_EVERY_MS = 250;
const ENVELOPE_BYTES = 256; // upper bound of a text message's JSON without its text
const CHARACTER_BYTES = 6; // of the longest escape of a character in JSON, such as \u0007
const view = (id) => document.getElementById(id);

/**
 * @param {HTMLElement} _panel
 * @param {import("../app.js").App} app
 */
export function mount(_panel, { store, speech, toast, focus }) {
const player = new Player();
const spectrum = new Spectrum(view("spectrum"));
const transcript = new Transcript(view("transcript"));
let ready = null; // the server's `ready` message, null while disconnected
let turn = null; // the context being spoken
let turns = 0;

// For the browser tests.
window.__tts = {
  get received() { return player.received; },
  get consumed() { return player.consumed; },
  get underruns() { return player.last.underruns; },
  get state() { return player.last.state; },
  get level() { return player.last.level; },
  get running() { return player.running; },
  get context() { return turn?.context ?? null; },
};

// Speaking.

async function play() {
  if (!ready || Player.obstacle()) return;
  stop();
  if (!/[^\s\p{P}]/u.test(view("text").value)) {
    showError("There is no text to speak; type some text.");
    view("text").focus();
    return;
  }
  const [length, most] = [Array.from(view("text").value).length, ready.limits.context_characters];
  if (length > most) {
    showError(`The text has ${length.toLocaleString("en")} characters; at most ${most.toLocaleString("en")} are allowed.`);
    view("text").focus();
    return;
  }
  showError("");
  focus.take(player, stop);
  const text = view("text").value;
  const mine = {
    context: `page-${++turns}`, text, handle: null, rate: 0, ended: false, firstFrame: false, heard: false,
    sentAt: 0, playedAt: 0, timer: 0,
  };
  turn = mine;
  view("transcript").hidden = view("spectrum").hidden = false;
  transcript.begin(text);
  view("stop").disabled = false;
  view("first-audio").textContent = view("first-heard").textContent = "–";
  let rate;
  try {
    rate = await player.start([ready.sample_rate, ...ready.sample_rates]);
  } catch (error) {
    endTurn();
    showError(`This browser cannot play audio: ${error.message}`);
    return;
  }
  if (turn !== mine) return; // stopped while the player was starting
  const options = { voice: view("voice").value, speed: Number(view("speed").value), sample_rate: rate, words: true };
  speech.send({ type: "start", context: mine.context, ...options });
  mine.sentAt = performance.now();
  if (view("trickle").checked) trickle(mine);
  else sendWhole(mine);
}

function sendWhole({ context, text }) {
  const characters = Array.from(text);
  const { text_characters: longest, message_bytes: bytes } = ready.limits;
  const most = Math.min(longest, Math.floor((bytes - ENVELOPE_BYTES) / CHARACTER_BYTES));
  for (let at = 0; at < characters.length; at += most)
    speech.send({ type: "text", context, text: characters.slice(at, at + most).join("") });
  speech.send({ type: "finish", context });
}

// Splits into pieces of one to four characters, not counting leading spaces.
function tokensOf(text) {
  const characters = text.match(/\s*\S|\s+$/gu) ?? [];
  const tokens = [];
  for (let at = 0, size; at < characters.length; at += size) {
    size = 1 + Math.floor(4 * Math.random());
    tokens.push(characters.slice(at, at + size).join(""));
  }
  return tokens;
}

// Sends pieces of words at a steady rate, as a language model would.
function trickle(mine) {
  const tokens = tokensOf(mine.text);
  const pace = Math.min(500, Math.max(1, Number(view("rate").value) || 20));
  const began = performance.now();
  let sent = 0;
  const send = () => {
    if (turn !== mine) return;
    const due = Math.min(tokens.length, 1 + Math.floor(((performance.now() - began) / 1000) * pace));
    if (due > sent) speech.send({ type: "text", context: mine.context, text: tokens.slice(sent, due).join("") });
    sent = due;
    if (sent < tokens.length) mine.timer = setTimeout(send, 1000 / pace);
    else speech.send({ type: "finish", context: mine.context });
  };
  send();
}

function stop() {
  if (!turn) return;
  speech.send({ type: "cancel", context: turn.context });
  if (turn.handle !== null) player.flush(turn.handle);
  endTurn();
}

// Resets the controls after a turn was played or stopped.
function endTurn() {
  clearTimeout(turn?.timer);
  turn = null;
  if (document.activeElement === view("stop")) view("play").focus(); // a disabled button loses the focus
  view("stop").disabled = true;
  view("buffer").textContent = "0 ms";
  transcript.heard(null);
  spectrum.stop();
}

function ifMine(handler) {
  return ({ detail }) => {
    if (turn && detail.context === turn.context) handler(detail);
  };
}

speech.addEventListener("started", ifMine(({ handle, sample_rate: rate }) => {
  Object.assign(turn, { handle, rate });
  player.begin(handle, rate);
  spectrum.start(player.analyser);
}));
speech.addEventListener("sentence", ifMine((sentence) => transcript.addSentence(sentence)));
speech.addEventListener("words", ifMine(({ words }) => transcript.addWords(words, turn.rate)));
speech.addEventListener("done", ifMine(() => player.end(turn.handle)));
speech.addEventListener("error", ({ detail }) => {
  if (detail.code === "unauthorized") return;
  showError(detail.message);
  if (turn && detail.context === turn.context) stop();
});
speech.addEventListener("binary", ({ detail: message }) => {
  const handle = new DataView(message).getUint16(2, true);
  if (!turn || handle !== turn.handle) return;
  if (!turn.firstFrame) {
    turn.firstFrame = true;
    view("first-audio").textContent = `${Math.round(performance.now() - turn.sentAt)} ms`;
  }
  const pcm = new Int16Array(message, HEADER_BYTES);
  player.push(handle, Float32Array.from(pcm, (sample) => sample / 32768));
});

player.addEventListener("report", ({ detail: report }) => {
  view("state").textContent = report.state;
  view("underruns").textContent = report.underruns;
  if (!turn || report.handle !== turn.handle) return;
  view("buffer").textContent = `${Math.round((1000 * report.buffered) / turn.rate)} ms`;
  if (report.played > 0 && !turn.heard) {
    turn.heard = true;
    const heardMs = 1000 * (report.played / turn.rate - player.latency); // reports arrive later
    view("first-heard").textContent = `${Math.round(performance.now() - heardMs - turn.sentAt)} ms`;
  }
  transcript.heard(report.played > 0 ? report.played - player.latency * turn.rate : null);
  const now = performance.now();
  if (now - turn.playedAt > PLAYED_EVERY_MS) {
    turn.playedAt = now;
    speech.send({ type: "played", context: turn.context, samples: report.played });
  }
  if (report.state === "idle") endTurn();
});

store.watch(["connection", "ready"], (state) => {
  ready = state.connection === "online" ? state.ready : null;
  view("voice").disabled = !ready;
  view("play").disabled = !ready || Boolean(Player.obstacle());
  view("engine-notice").textContent = ready?.notice ?? "";
  view("engine-notice").hidden = !ready?.notice;
  if (ready && Player.obstacle()) showError(Player.obstacle());
});
speech.addEventListener("lost", () => {
  if (!turn) return;
  if (turn.handle !== null) player.flush(turn.handle);
  endTurn();
});
store.watch(["voices"], (state) => showVoices(state.voices, state.chosenVoice));
store.watch(["chosenVoice"], (state) => showVoices(state.voices, state.chosenVoice));

function showVoices(all, wanted) {
  const chosen = wanted ?? view("voice").value;
  view("voice").replaceChildren(
    ...all.map(({ id, name, style }) => new Option(`${name}, ${style}`, id, false, id === chosen)),
  );
}

function showError(message) {
  if (message) toast.show(message, { kind: "error" });
  else toast.hide();
}

// Controls.

view("speak-form").addEventListener("submit", (event) => {
  event.preventDefault();
  play();
});
view("stop").addEventListener("click", stop);
view("speed").addEventListener("input", () => {
  view("speed-value").textContent = `${Number(view("speed").value).toFixed(2)}×`;
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    stop();
    focus.take(player, stop);
  } else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    play();
  }
});
}
