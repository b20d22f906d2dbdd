// @ts-check
// Media keys of the keyboard and the headset, and the controls of the lock screen.

import { SKIP_S } from "../speech/speaker.js";
import { mountSilence } from "./silence.js";

const TITLE = 80; // characters
const POSITION_MS = 1000;

/** @param {App} app @param {() => void} playOrPause */
export function mountMediaKeys({ player, speaker }, playOrPause) {
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

  let toldAt = 0;
  const tellPosition = () => {
    const { take, position } = player;
    if (!take?.length) return;
    toldAt = performance.now();
    session.setPositionState({ duration: take.seconds, position: Math.min(take.seconds, position / take.rate) });
  };
  player.on("report", () => performance.now() - toldAt > POSITION_MS && tellPosition());
  player.on("change", () => {
    tellPosition();
    session.playbackState = player.active ? "playing" : player.take ? "paused" : "none";
    if (!player.take) return;
    session.metadata = new MediaMetadata({ title: player.take.text.slice(0, TITLE), artist: document.title });
  });
}
