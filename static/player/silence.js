// @ts-check
// Plays silence beside the speech: browsers give the media keys only to pages with a media element that plays.

import { httpUrl } from "../lib/address.js";

/** @param {Player} player */
export function mountSilence(player) {
  const silence = new Audio();
  silence.loop = true;
  const play = () => silence.play().catch(() => {}); // without it, the keys of the page remain
  player.on("first", () => {
    if (!silence.src) silence.src = httpUrl("static/audio/silence.mp3");
    if (player.active) play();
  });
  player.on("change", () => {
    if (!player.active) silence.pause();
    else if (silence.src && silence.paused) play();
  });
}
