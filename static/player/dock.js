// @ts-check
// The player below the text: transport, position, volume and state.

import { byId, setText } from "../lib/element.js";
import { SKIP_S } from "../speech/speaker.js";
import { changeSettings } from "../state.js";
import { clockOf } from "../take/duration.js";
import { firstSoundMs } from "../take/stages.js";
import { mountDownload } from "./download.js";
import { mountMediaKeys } from "./media-keys.js";
import { mountScrubber } from "./scrubber.js";
import { mountWakeLock } from "./wake-lock.js";
import { TakeWaveform } from "./waveform.js";

/**
 * @param {App} app
 * @param {() => void} playOrPause what the big button does; it may have to begin a new take
 */
export function mountDock(app, playOrPause) {
  const { store, player, speaker } = app;
  const dock = byId("dock");
  const waveform = new TakeWaveform(byId("waveform-player"), player);
  const scrubber = mountScrubber(speaker, player);
  mountTransport(speaker, playOrPause);
  mountLoop(app);
  mountVolume(app);
  mountDownload(app);
  mountMediaKeys(app, playOrPause);
  mountWakeLock(player);

  let frame = 0;
  const run = () => {
    frame = 0;
    showTimes(player);
    scrubber.show();
    waveform.draw();
    if (player.active) wake();
  };
  const wake = () => (frame ||= requestAnimationFrame(run));
  const show = () => {
    showState(app);
    wake();
  };
  player.on("change", show);
  player.on("report", wake);
  player.on("growth", wake);
  speaker.on("change", show);
  store.watch(["connection"], show);

  new ResizeObserver(() => {
    document.documentElement.style.setProperty("--dock", `${dock.offsetHeight}px`);
    wake();
  }).observe(dock);
}

/** @param {Speaker} speaker @param {() => void} playOrPause */
function mountTransport(speaker, playOrPause) {
  const press = (/** @type {string} */ id, /** @type {() => void} */ act) => byId(id).addEventListener("click", act);
  press("play", playOrPause);
  press("previous", () => speaker.previous());
  press("next", () => speaker.next());
  press("back", () => speaker.skip(-SKIP_S));
  press("forward", () => speaker.skip(SKIP_S));
}

/** @param {App} app */
function mountLoop({ store, player, speaker }) {
  const button = byId("loop");
  button.addEventListener("click", () => changeSettings(store, { loop: !store.state.settings.loop }));
  store.watch(["settings"], ({ settings }) => button.setAttribute("aria-pressed", String(settings.loop)));
  player.on("ended", () => store.state.settings.loop && speaker.play());
}

/** @param {App} app */
function mountVolume({ store, player }) {
  const slider = byId("volume");
  slider.addEventListener("input", () => changeSettings(store, { volume: Number(slider.value) }));
  store.watch(["settings"], ({ settings: { volume } }) => {
    player.output.volume = volume;
    if (Number(slider.value) !== volume) slider.value = String(volume);
  });
}

function showState(/** @type {App} */ app) {
  const { take, active, state } = app.player;
  const button = byId("play");
  if (button.dataset.shows !== String(active)) {
    button.dataset.shows = String(active);
    button.setAttribute("aria-label", active ? "Pause" : "Play");
    button.querySelector("use")?.setAttribute("href", `static/icons.svg#${active ? "pause" : "play"}`);
  }
  document.body.classList.toggle("sounding", active);
  for (const id of ["previous", "next", "back", "forward", "download"])
    /** @type {HTMLButtonElement} */ (byId(id)).disabled = !take;
  setText(byId("player-state"), stateOf(app));
  byId("player-state").dataset.short = shortStateOf(app);
  byId("dock").dataset.state = state;
}

function showTimes(/** @type {Player} */ { take, position }) {
  setText(byId("time-now"), clockOf(take ? position / take.rate : 0));
  const whole = take?.expectedSeconds ?? take?.seconds ?? 0;
  setText(byId("time-all"), `${take && !take.complete && take.length ? "≈ " : ""}${clockOf(whole)}`);
}

// Returns the state in words. It changes only with the state, as screen readers announce it.
function stateOf(/** @type {App} */ { player, store }) {
  const { take, active, state } = player;
  if (!take) return "";
  if (active && state === "waiting")
    return store.state.connection === "online" ? "Waiting for sound…" : "Waiting for the server…";
  const first = firstSoundMs(take.metrics);
  if (active) return first === null ? "" : `First sound after ${Math.round(first)} ms`;
  if (state === "ended") return "";
  return player.position > 0 ? "Paused" : "";
}

// Returns the state for narrow screens.
function shortStateOf(/** @type {App} */ { player }) {
  const first = player.take ? firstSoundMs(player.take.metrics) : null;
  return player.active && player.state === "playing" && first !== null ? `${Math.round(first)} ms` : "";
}
