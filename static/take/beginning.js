// @ts-check
// The beginning of a text.

const LONGEST = 160; // characters

/** Return the first sentence of a text, cut to a short length. @param {string} text */
export function beginningOf(text) {
  const start = text.trim().slice(0, 4 * LONGEST);
  const [first] = new Intl.Segmenter(undefined, { granularity: "sentence" }).segment(start);
  const sentence = first?.segment.trim() ?? "";
  if (sentence.length <= LONGEST) return sentence;
  const cut = sentence.lastIndexOf(" ", LONGEST);
  return sentence.slice(0, cut > 0 ? cut : LONGEST);
}
