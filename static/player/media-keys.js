// @ts-check
// Media keys of the keyboard and the headset, and the controls of the lock screen.

import { httpUrl } from "../lib/address.js";
import { SKIP_S } from "../speech/speaker.js";

const TITLE = 80; // characters
const OFF_S = 0.5; // differences of the position below this are not reported

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

/**
 * Play an inaudible tone (25 Hz at -65 dBFS) during speech: browsers give the media keys only to pages with a media
 * element that plays, and Firefox only if it is not silent.
 * @param {Player} player
 */
function mountInaudibleTone(player) {
  const tone = new Audio();
  tone.loop = true;
  const play = () => tone.play().catch(() => {}); // only the media keys are lost
  player.on("first", () => {
    if (!tone.src) tone.src = httpUrl("static/audio/inaudible.mp3");
    if (player.active) play();
  });
  player.on("change", () => {
    if (!player.active) tone.pause();
    else if (tone.src && tone.paused) play();
  });
}

/**
 * Report the position to the desktop and the lock screen, which count on while it plays.
 * @param {MediaSession} session
 * @param {Player} player
 */
function mountShownPosition(session, player) {
  let reported = { duration: 0, position: 0, playing: false, at: 0 };

  const tell = () => {
    const { take, active: playing } = player;
    if (!take?.length) return;
    const now = performance.now();
    const duration = take.seconds;
    const position = Math.min(duration, player.position / take.rate);
    const expected = reported.position + (reported.playing ? (now - reported.at) / 1000 : 0);
    const off = Math.max(Math.abs(position - expected), Math.abs(duration - reported.duration));
    if (playing === reported.playing && off < OFF_S) return;
    reported = { duration, position, playing, at: now };
    session.setPositionState({ duration, position });
  };
  player.on("report", tell);
  player.on("change", tell);
}
