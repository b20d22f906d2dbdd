// @ts-check
// Plays an inaudible tone (25 Hz at -65 dBFS) during speech: browsers give the media keys only to pages
// with a media element that plays, and Firefox only if it is not silent.

import { httpUrl } from "../lib/address.js";

/** @param {Player} player */
export function mountInaudibleTone(player) {
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
