// @ts-check
// Durations of speech: as a clock shows them, and estimated.

const CHARACTERS_PER_S = 15; // of English at the usual speed

/** Return seconds as "1:04" or "1:02:09". @param {number} seconds */
export function clockOf(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const two = (/** @type {number} */ value) => String(value).padStart(2, "0");
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return hours ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

/** Return the estimated duration of a text in seconds. @param {number} characters @param {number} speed */
export function estimateOf(characters, speed) {
  return characters / CHARACTERS_PER_S / speed;
}
