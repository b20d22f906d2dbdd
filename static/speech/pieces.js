// @ts-check
// Cutting a text into the messages that carry it to the server.

const ENVELOPE_BYTES = 256; // upper bound of a text message's JSON without its text
const CHARACTER_BYTES = 6; // of the longest escape of a character in JSON, such as \u0007

/**
 * Cut a text into pieces that the server accepts.
 * @param {string} text
 * @param {{ text_characters: number, message_bytes: number }} limits
 */
export function piecesOf(text, { text_characters: longest, message_bytes: bytes }) {
  const most = Math.min(longest, Math.floor((bytes - ENVELOPE_BYTES) / CHARACTER_BYTES));
  const characters = Array.from(text);
  const pieces = [];
  for (let at = 0; at < characters.length; at += most) pieces.push(characters.slice(at, at + most).join(""));
  return pieces;
}

/**
 * Cut a text into tokens as a language model writes them: one to four characters, with the spaces before them.
 * @param {string} text
 * @param {() => number} random 0 to 1
 */
export function tokensOf(text, random = Math.random) {
  const characters = text.match(/\s*\S|\s+$/gu) ?? [];
  const tokens = [];
  for (let at = 0, size; at < characters.length; at += size) {
    size = 1 + Math.floor(4 * random());
    tokens.push(characters.slice(at, at + size).join(""));
  }
  return tokens;
}
