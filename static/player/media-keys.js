// @ts-check
// Media keys of the keyboard and the headset, and the controls of the lock screen.

import { SKIP_S } from "../speech/speaker.js";
import { mountInaudibleTone } from "./inaudible.js";
import { mountShownPosition } from "./shown-position.js";

const TITLE = 80; // characters

/** @param {App} app @param {() => void} playOrPause */
export function mountMediaKeys({ player, speaker }, playOrPause) {
  const session = navigator.mediaSession;
  if (!session) return;
  mountInaudibleTone(player);
  mountShownPosition(session, player);
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
  /** @type {Take | null} */
  let shown = null;
  player.on("change", () => {
    const { take, active } = player;
    session.playbackState = active ? "playing" : take ? "paused" : "none";
    if (!take || take === shown) return; // setting it again would announce a new track
    shown = take;
    session.metadata = new MediaMetadata({ title: take.text.slice(0, TITLE), artist: document.title });
  });
}
