// @ts-check
// Links that carry the settings and the text behind "#", where no server sees them; never the key.

import { DEFAULTS, ENGINE_OPTIONS, settingsOf } from "./settings.js";

const NAMES = /** @type {const} */ ({
  voice: "voice",
  language: "lang",
  speed: "speed",
  pitch: "pitch",
  tokens: "tokens",
  rate: "rate",
});

/**
 * Return the part of a link after "#".
 * @param {string} text
 * @param {PageSettings} settings
 */
export function linkOf(text, settings) {
  const parts = new URLSearchParams();
  for (const [name, short] of Object.entries(NAMES)) {
    const value = settings[/** @type {keyof typeof NAMES} */ (name)];
    if (value !== DEFAULTS[/** @type {keyof typeof NAMES} */ (name)]) parts.set(short, String(value));
  }
  for (const [name, value] of Object.entries(settings.options)) parts.set(name, String(value));
  if (text) parts.set("text", text);
  return parts.toString();
}

/**
 * Return a link's text and settings, merged into the current settings; null if the link holds neither.
 * @param {string} hash with or without "#"
 * @param {PageSettings} settings
 */
export function readLink(hash, settings) {
  const parts = new URLSearchParams(hash.replace(/^#/, ""));
  const known = [...Object.values(NAMES), ...Object.keys(ENGINE_OPTIONS), "text"];
  if (!known.some((name) => parts.has(name))) return null;
  const { volume, loop, compared, recentLanguages } = settings; // of the page, not of the text
  /** @type {Record<string, any>} */
  const raw = { ...DEFAULTS, volume, loop, compared, recentLanguages, options: {} };
  for (const [name, short] of Object.entries(NAMES)) {
    const value = parts.get(short);
    if (value === null) continue;
    raw[name] = typeof DEFAULTS[/** @type {keyof typeof NAMES} */ (name)] === "number" ? Number(value) : value;
  }
  raw.tokens = parts.get("tokens") === "true";
  for (const name of Object.keys(ENGINE_OPTIONS))
    if (parts.has(name)) raw.options[name] = Number(parts.get(name));
  return { settings: settingsOf(raw), text: parts.get("text") };
}
