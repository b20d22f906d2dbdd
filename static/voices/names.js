// @ts-check
// Names of voices and voice samples that the server accepts, and the paths of voice samples on it.

const LONGEST = 64;

/** Convert typed text to a name. @param {string} typed */
export function nameOf(typed) {
  const plain = typed.normalize("NFKC").replace(/[^\p{L}\p{M}\p{Nd}_.-]+/gu, " ");
  return Array.from(plain.replace(/^[\p{M}. ]+/u, "")).slice(0, LONGEST).join("").trim();
}

/** Return the id of a voice with a name. @param {string} name */
export function idOf(name) {
  return nameOf(nameOf(name).toLowerCase().replaceAll(" ", "-"));
}

/**
 * Return an unused name for a file.
 * @param {string} fileName
 * @param {object} others by name
 */
export function freeName(fileName, others) {
  const name = nameOf(fileName.replace(/\.[^.]*$/u, "")) || "sample";
  let free = name;
  for (let count = 2; Object.hasOwn(others, free); count++) free = `${name.slice(0, LONGEST - 4)}-${count}`;
  return free;
}

/** @param {string} id of a voice sample */
export const pathOf = (id) => `audio_prompts/${encodeURIComponent(id)}`;

/** @param {string} id of a voice sample */
export const metadataOf = (id) => `audio_prompts/metadata/${encodeURIComponent(id)}`;
