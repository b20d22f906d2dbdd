// @ts-check
// The settings of speech and of the page, as they are kept, linked to and sent.

/** Options of engines, with their limits: those of the server's `start`, whose `top_p` is above 0. */
export const ENGINE_OPTIONS = Object.freeze({
  seed: { label: "Seed", min: 0, max: Number.MAX_SAFE_INTEGER, step: 1 },
  temperature: { label: "Temperature", min: 0, max: 2, step: 0.05 },
  cfg_scale: { label: "Guidance", min: 1, max: 10, step: 0.1 },
  cfg_filter_top_k: { label: "Guidance top k", min: 1, max: 1028, step: 1 },
  top_p: { label: "Top p", min: 0.01, max: 1, step: 0.01 },
  top_k: { label: "Top k", min: 1, max: 1028, step: 1 },
  max_tokens: { label: "Longest utterance, in frames", min: 100, max: 3072, step: 1 },
});

export const SPEEDS = Object.freeze({ min: 0.25, max: 4, presets: [0.75, 1, 1.25, 1.5, 2] });
export const PITCHES = Object.freeze({ min: 0.5, max: 2 });
export const RATES = Object.freeze({ min: 1, max: 500 });
export const MOST_COMPARED = 4; // voices side by side
export const MOST_RECENT = 6; // languages

/** @type {Readonly<PageSettings>} */
export const DEFAULTS = Object.freeze({
  voice: "",
  language: "auto",
  speed: 1,
  pitch: 1,
  options: {},
  tokens: false,
  rate: 20,
  volume: 1,
  loop: false,
  compared: [],
  recentLanguages: [],
});

const LANGUAGE = /^([a-z]{2,8}(-[a-z0-9]{1,8})*)$/i;

/**
 * Return valid settings from stored or linked ones; invalid values are replaced by defaults.
 * @param {any} raw
 * @returns {PageSettings}
 */
export function settingsOf(raw) {
  const said = raw && typeof raw === "object" ? raw : {};
  /**
   * @param {"speed" | "pitch" | "rate" | "volume"} name
   * @param {{ min: number, max: number }} range
   */
  const number = (name, { min, max }) =>
    typeof said[name] === "number" && said[name] >= min && said[name] <= max ? said[name] : DEFAULTS[name];
  return {
    voice: textOf(said.voice, 128),
    language: LANGUAGE.test(said.language) ? said.language : DEFAULTS.language,
    speed: number("speed", SPEEDS),
    pitch: number("pitch", PITCHES),
    options: optionsOf(said.options),
    tokens: said.tokens === true,
    rate: number("rate", RATES),
    volume: number("volume", { min: 0, max: 1 }),
    loop: said.loop === true,
    compared: listOf(said.compared).slice(0, MOST_COMPARED),
    recentLanguages: listOf(said.recentLanguages).slice(0, MOST_RECENT),
  };
}

/**
 * Return the settings that the server's `start` accepts.
 * @param {Settings} settings
 * @param {string[]} known the engine's options, which others are left out for
 * @returns {Settings}
 */
export function speechOf({ voice, language, speed, pitch, options }, known) {
  const used = Object.entries(options).filter(([name]) => known.includes(name));
  return {
    voice,
    language: known.includes("language") ? language : "auto",
    speed,
    pitch: known.includes("pitch") ? pitch : 1,
    options: Object.fromEntries(used),
  };
}

/**
 * Return the body of a request to the server's `generate`.
 * @param {string} text
 * @param {Settings} speech
 * @param {string} format
 */
export function generateBody(text, { voice, language, speed, pitch, options }, format) {
  return { text, voice_id: voice, language, speed, pitch, ...options, response_format: format };
}

/** @param {Settings} one @param {Settings} other */
export function sameSpeech(one, other) {
  return JSON.stringify(inOrder(one)) === JSON.stringify(inOrder(other));
}

const inOrder = (/** @type {Settings} */ { voice, language, speed, pitch, options }) =>
  [voice, language, speed, pitch, Object.entries(options).sort()];

/**
 * Return the factor at a slider's position, -1 to 1; near the middle it is exactly 1.
 * @param {number} position
 * @param {{ max: number }} range from 1 / max to max
 */
export function factorAt(position, { max }) {
  if (Math.abs(position) < 0.03) return 1;
  return Math.round(100 * max ** position) / 100;
}

/**
 * Return the slider's position of a factor.
 * @param {number} factor
 * @param {{ max: number }} range
 */
export function positionOf(factor, { max }) {
  return Math.log(factor) / Math.log(max);
}

function optionsOf(/** @type {any} */ raw) {
  const said = raw && typeof raw === "object" ? raw : {};
  const valid = Object.entries(ENGINE_OPTIONS).filter(
    ([name, { min, max }]) => typeof said[name] === "number" && said[name] >= min && said[name] <= max,
  );
  return Object.fromEntries(valid.map(([name]) => [name, said[name]]));
}

const textOf = (/** @type {any} */ value, /** @type {number} */ longest) =>
  typeof value === "string" ? value.slice(0, longest) : "";
const listOf = (/** @type {any} */ value) =>
  Array.isArray(value) ? value.filter((one) => typeof one === "string") : [];
