// @ts-check
// Subtitles of a take: SRT and WebVTT, one cue a sentence, long sentences divided between words.

const LONGEST = 84; // characters of a cue: two lines of 42

/**
 * Return the cues of what has arrived of a take.
 * @param {Take} take
 * @returns {Cue[]}
 */
export function cuesOf(take) {
  const characters = Array.from(take.text);
  const textOf = (/** @type {number} */ from, /** @type {number} */ to) =>
    characters.slice(from, to).join("").replace(/\s+/gu, " ").trim();
  const cues = [];
  for (const sentence of take.sentences) {
    const end = Math.min(sentence.endAt, take.length);
    if (end <= sentence.at) continue;
    const words = take.words.filter((word) => word.start >= sentence.start && word.end <= sentence.end);
    const cuts = cutsOf(words, sentence);
    for (let part = 0; part < cuts.length; part++) {
      const until = cuts[part + 1] ?? { start: sentence.end, at: end };
      const text = textOf(cuts[part].start, until.start);
      if (text) cues.push({ start: cuts[part].at / take.rate, end: until.at / take.rate, text });
    }
  }
  return cues;
}

/**
 * Return where the cues of a sentence begin.
 * @param {Mark[]} words
 * @param {Mark} sentence
 */
function cutsOf(words, sentence) {
  const cuts = [{ start: sentence.start, at: sentence.at }];
  for (const word of words)
    if (word.end - cuts[cuts.length - 1].start > LONGEST && word.start > cuts[cuts.length - 1].start)
      cuts.push({ start: word.start, at: word.at });
  return cuts;
}

/** @param {Cue[]} cues */
export function srtOf(cues) {
  return cues
    .map(({ start, end, text }, at) => `${at + 1}\n${clock(start, ",")} --> ${clock(end, ",")}\n${text}\n`)
    .join("\n");
}

/** @param {Cue[]} cues */
export function vttOf(cues) {
  const escaped = (/** @type {string} */ text) =>
    text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
  const lines = cues.map(({ start, end, text }) => `${clock(start, ".")} --> ${clock(end, ".")}\n${escaped(text)}\n`);
  return ["WEBVTT\n", ...lines].join("\n");
}

/** @param {number} seconds @param {string} point between seconds and milliseconds */
function clock(seconds, point) {
  const ms = Math.round(1000 * seconds);
  const two = (/** @type {number} */ value) => String(Math.floor(value)).padStart(2, "0");
  const rest = String(ms % 1000).padStart(3, "0");
  return `${two(ms / 3_600_000)}:${two((ms / 60_000) % 60)}:${two((ms / 1000) % 60)}${point}${rest}`;
}
