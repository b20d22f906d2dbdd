// @ts-check
// The options: voice, language, speed, pitch, tokens, and the engine's own.

import { byId, element } from "../lib/element.js";
import { closeOnBackdrop } from "../lib/sheet.js";
import { changeSettings } from "../state.js";
import { DEFAULTS, PITCHES, RATES, SPEEDS, factorAt, positionOf } from "../take/settings.js";
import { mountEngineOptions } from "./engine-options.js";
import { mountLanguage } from "./language.js";
import { voiceChoices } from "./voice-preview.js";

const NARROW = matchMedia("(max-width: 60rem)");

/** @param {App} app */
export function mountOptions(app) {
  const { store } = app;
  mountSheet(byId("options"));
  mountVoice(app);
  mountLanguage(app);
  mountFactor(store, "speed", SPEEDS);
  mountFactor(store, "pitch", PITCHES);
  mountPresets(store);
  mountTokens(store);
  mountEngineOptions(store);
}

/** @param {App} app */
function mountVoice(app) {
  const { store, picker } = app;
  byId("voice").addEventListener("click", () =>
    picker.open({
      title: "Voice",
      ...voiceChoices(app),
      picked: [store.state.settings.voice],
      pick: (voice) => changeSettings(store, { voice }),
    }),
  );
  store.watch(["ready"], ({ ready }) => (byId("voice").disabled = !ready));
  store.watch(["voices"], ({ voices, settings }) => {
    if (voices.length && !voices.some(({ id }) => id === settings.voice)) changeSettings(store, { voice: voices[0].id });
  });
  store.watch(["settings", "voices"], ({ settings, voices }) => {
    const voice = voices.find(({ id }) => id === settings.voice);
    byId("voice-name-shown").textContent = voice ? `${voice.name}, ${voice.style}` : "–";
  });
}

/**
 * Mount the slider of a factor, with 1 in the middle.
 * @param {App["store"]} store
 * @param {"speed" | "pitch"} name
 * @param {{ max: number }} range
 */
function mountFactor(store, name, range) {
  const slider = byId(name);
  slider.addEventListener("input", () => changeSettings(store, { [name]: factorAt(Number(slider.value), range) }));
  store.watch(["settings"], ({ settings }) => {
    const value = settings[name];
    if (factorAt(Number(slider.value), range) !== value) slider.value = String(positionOf(value, range));
    slider.setAttribute("aria-valuetext", `${value} times`);
    byId(`${name}-value`).textContent = `${value}×`;
  });
}

/** @param {App["store"]} store */
function mountPresets(store) {
  const presets = SPEEDS.presets.map((speed) => {
    const button = element("button", { type: "button" }, `${speed}×`);
    button.addEventListener("click", () => changeSettings(store, { speed }));
    store.watch(["settings"], ({ settings }) => button.setAttribute("aria-pressed", String(speed === settings.speed)));
    return button;
  });
  byId("speed-presets").replaceChildren(...presets);
}

/** @param {App["store"]} store */
function mountTokens(store) {
  const tokens = byId("tokens");
  const rate = byId("rate");
  tokens.addEventListener("change", () => changeSettings(store, { tokens: tokens.checked }));
  rate.addEventListener("change", () => {
    const wanted = Math.round(Number(rate.value)) || DEFAULTS.rate;
    changeSettings(store, { rate: Math.min(RATES.max, Math.max(RATES.min, wanted)) });
    rate.value = String(store.state.settings.rate);
  });
  store.watch(["settings"], ({ settings }) => {
    tokens.checked = settings.tokens;
    if (document.activeElement !== rate) rate.value = String(settings.rate);
  });
}

// On a narrow screen the options are a sheet; on a wide one they stand beside the text.
function mountSheet(/** @type {HTMLDialogElement} */ dialog) {
  const arrange = () => {
    if (dialog.open) dialog.close();
    if (!NARROW.matches) dialog.show();
  };
  NARROW.addEventListener("change", arrange);
  byId("options-button").addEventListener("click", () => {
    dialog.close();
    dialog.showModal();
  });
  byId("options-done").addEventListener("click", () => dialog.close());
  closeOnBackdrop(dialog);
  arrange();
  if (dialog.contains(document.activeElement)) /** @type {HTMLElement} */ (document.activeElement).blur();
}
