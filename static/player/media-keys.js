// @ts-check
// Keys of the keyboard and the headset, the lock screen, and keeping the screen awake while it speaks.

import { httpUrl } from "../lib/address.js";
import { SKIP_S } from "../speech/speaker.js";

const TITLE = 80; // characters

/**
 * @param {App} app
 * @param {() => void} playOrPause
 */
export function mountMediaKeys({ player, speaker }, playOrPause) {
  /** @type {WakeLockSentinel | null} */
  let lock = null;

  async function holdScreen() {
    const wanted = player.active && document.visibilityState === "visible";
    if (!wanted) {
      await lock?.release();
      lock = null;
    } else if (!lock || lock.released) {
      lock = (await navigator.wakeLock?.request("screen").catch(() => null)) ?? null;
    }
  }
  player.on("change", holdScreen);
  document.addEventListener("visibilitychange", holdScreen);

  const session = navigator.mediaSession;
  if (!session) return;
  mountSilence(player);
  /** @type {[MediaSessionAction, (details: MediaSessionActionDetails) => void][]} */
  const actions = [
    ["play", () => !player.active && playOrPause()],
    ["pause", () => speaker.pause()],
    ["stop", () => speaker.stop()],
    ["previoustrack", () => speaker.previous()],
    ["nexttrack", () => speaker.next()],
    ["seekbackward", ({ seekOffset }) => speaker.skip(-(seekOffset ?? SKIP_S))],
    ["seekforward", ({ seekOffset }) => speaker.skip(seekOffset ?? SKIP_S)],
    ["seekto", ({ seekTime }) => player.take && speaker.seek((seekTime ?? 0) * player.take.rate)],
  ];
  for (const [action, act] of actions) {
    try {
      session.setActionHandler(action, act);
    } catch {
      // this browser does not know the action
    }
  }
  player.on("change", () => {
    session.playbackState = player.active ? "playing" : player.take ? "paused" : "none";
    if (!player.take) return;
    session.metadata = new MediaMetadata({ title: player.take.text.slice(0, TITLE), artist: document.title });
  });
}

// Plays silence beside the speech: browsers give the media keys only to pages with a media element that plays.
function mountSilence(/** @type {Player} */ player) {
  const silence = new Audio();
  silence.loop = true;
  player.on("first", () => {
    if (!silence.src) silence.src = httpUrl("static/audio/silence.mp3");
    if (player.active) silence.play().catch(() => {}); // without it, the keys of the page remain
  });
  player.on("change", () => {
    if (!player.active) silence.pause();
    else if (silence.src && silence.paused) silence.play().catch(() => {});
  });
}
