// @ts-check
// Names of languages.

const NAMES = new Intl.DisplayNames(["en"], { type: "language" });

/** Return a language's English name. @param {string} tag */
export function languageName(tag) {
  if (tag === "auto") return "Automatic";
  try {
    return NAMES.of(tag) ?? tag;
  } catch {
    return tag;
  }
}
