// @ts-check
// Highlights the word and the sentence being heard.

/** @param {App} app @param {Reader} reader */
export function mountHighlighter({ player, store }, reader) {
  let frame = 0;

  function light() {
    frame = 0;
    const take = shownTake();
    if (take) {
      const units = (/** @type {Mark | null} */ mark) =>
        mark && { start: take.points.toUnits(mark.start), end: take.points.toUnits(mark.end) };
      const position = player.position;
      reader.highlight(units(take.sentenceAt(position)), units(take.wordAt(position)));
    } else {
      reader.highlight(null, null);
    }
    if (player.active) frame = requestAnimationFrame(light);
  }

  // Returns the take if its text is shown and it is playing or paused.
  function shownTake() {
    const { take, active, state } = player;
    if (!take || reader.editable || take.text !== store.state.text) return null;
    return state !== "ended" && (active || player.position > 0) ? take : null;
  }

  const wake = () => {
    if (!frame) frame = requestAnimationFrame(light);
  };
  player.on("change", wake);
  player.on("report", wake);
}
