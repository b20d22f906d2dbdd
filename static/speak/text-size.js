// @ts-check
// Shows the length of the text or, while it plays, how much is left.

import { byId, setText } from "../lib/element.js";
import { lengthOf } from "../take/code-points.js";
import { clockOf, estimateOf } from "../take/duration.js";

const SHORT = 60; // characters, whose duration is not worth showing

/** @param {App} app */
export function mountTextSize({ store, player }) {
  const line = byId("text-size");
  const more = byId("text-size-more");
  const count = (/** @type {number} */ characters) => characters.toLocaleString("en");

  // Returns the main text and what is appended on wide screens.
  function sizeOf(/** @type {string} */ text) {
    const { take } = player;
    if (take && take.text === text && player.active) {
      const left = (take.expectedSeconds ?? take.seconds) - player.position / take.rate;
      const at = (take.wordAt(player.position) ?? take.sentenceAt(player.position))?.start ?? 0;
      return [`${clockOf(left)} left`, ` · ${count(at)} of ${count(take.points.length)} characters`];
    }
    if (!text) return ["", ""];
    const length = lengthOf(text);
    const about = length > SHORT ? ` · about ${clockOf(estimateOf(length, store.state.settings.speed))}` : "";
    return [`${count(length)} characters`, about];
  }

  const show = () => {
    const [words, added] = sizeOf(store.state.text);
    setText(line, words);
    setText(more, added);
  };
  store.watch(["text", "settings"], show);
  player.on("report", show);
  player.on("change", show);
}
