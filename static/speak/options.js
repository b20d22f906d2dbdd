// @ts-check
// The options: voice, language, speed, pitch, tokens, and the engine's own.

import { byId, element } from "../lib/element.js";
import { languageName } from "../lib/languages.js";
import { changeSettings } from "../state.js";
import { DEFAULTS, ENGINE_OPTIONS, MOST_RECENT, PITCHES, RATES, SPEEDS, factorAt, positionOf } from "../take/settings.js";

const NARROW = matchMedia("(max-width: 60rem)");

/** @param {App} app */
export function mountOptions(app) {
  const { store, picker } = app;
  const dialog = byId("options");
  const change = (/** @type {Partial<PageSettings>} */ changes) => changeSettings(store, changes);

  mountSheet(dialog);
  mountFactor("speed", SPEEDS, change);
  mountFactor("pitch", PITCHES, change);

  const presets = SPEEDS.presets.map((speed) => {
    const button = element("button", { type: "button" }, `${speed}×`);
    button.addEventListener("click", () => change({ speed }));
    return { speed, button };
  });
  byId("speed-presets").replaceChildren(...presets.map(({ button }) => button));

  byId("voice").addEventListener("click", () =>
    picker.open({
      title: "Voice",
      choices: store.state.voices.map(({ id, name, style }) => ({ id, name, about: style })),
      picked: [store.state.settings.voice],
      pick: (voice) => change({ voice }),
      preview: (choice, button) => app.sampler.toggle(choice.id, button),
    }),
  );
  byId("language").addEventListener("click", () =>
    picker.open({
      title: "Language",
      choices: languageChoices(store.state),
      picked: [store.state.settings.language],
      pick: (language) => {
        const { recentLanguages: recent } = store.state.settings;
        const others = recent.filter((one) => one !== language && one !== "auto");
        change({ language, recentLanguages: language === "auto" ? recent : [language, ...others].slice(0, MOST_RECENT) });
      },
    }),
  );

  const tokens = byId("tokens");
  const rate = byId("rate");
  tokens.addEventListener("change", () => change({ tokens: tokens.checked }));
  rate.addEventListener("change", () => {
    const wanted = Math.round(Number(rate.value)) || DEFAULTS.rate;
    change({ rate: Math.min(RATES.max, Math.max(RATES.min, wanted)) });
    rate.value = String(store.state.settings.rate);
  });

  store.watch(["ready"], ({ ready }) => showEngineOptions(store, change, ready?.options ?? []));
  store.watch(["connection", "ready"], ({ ready }) => {
    for (const id of ["voice", "language"]) /** @type {HTMLButtonElement} */ (byId(id)).disabled = !ready;
    byId("language-field").hidden = ready !== null && !ready.options.includes("language");
    byId("pitch-field").hidden = ready !== null && !ready.options.includes("pitch");
  });
  store.watch(["voices"], ({ voices, settings }) => {
    if (voices.length && !voices.some(({ id }) => id === settings.voice)) change({ voice: voices[0].id });
  });
  store.watch(["settings", "voices"], ({ settings, voices }) => {
    const voice = voices.find(({ id }) => id === settings.voice);
    byId("voice-name-shown").textContent = voice ? `${voice.name}, ${voice.style}` : "–";
    byId("language-shown").textContent = languageName(settings.language);
    showFactor("speed", settings.speed, SPEEDS);
    showFactor("pitch", settings.pitch, PITCHES);
    for (const { speed, button } of presets) button.setAttribute("aria-pressed", String(speed === settings.speed));
    tokens.checked = settings.tokens;
    if (document.activeElement !== rate) rate.value = String(settings.rate);
  });
}

/**
 * A slider of a factor, with 1 in the middle.
 * @param {"speed" | "pitch"} name
 * @param {{ max: number }} range
 * @param {(changes: Partial<PageSettings>) => void} change
 */
function mountFactor(name, range, change) {
  const slider = /** @type {HTMLInputElement} */ (byId(name));
  slider.addEventListener("input", () => change({ [name]: factorAt(Number(slider.value), range) }));
}

/**
 * @param {"speed" | "pitch"} name
 * @param {number} value
 * @param {{ max: number }} range
 */
function showFactor(name, value, range) {
  const slider = /** @type {HTMLInputElement} */ (byId(name));
  if (factorAt(Number(slider.value), range) !== value) slider.value = String(positionOf(value, range));
  slider.setAttribute("aria-valuetext", `${value} times`);
  byId(`${name}-value`).textContent = `${value}×`;
}

/** @param {State} state */
function languageChoices({ ready, settings }) {
  const offered = (ready?.languages ?? []).map((id) => ({ id, name: languageName(id), about: id, group: "All" }));
  offered.sort((one, other) => one.name.localeCompare(other.name, "en"));
  const recent = settings.recentLanguages
    .filter((id) => offered.some((one) => one.id === id))
    .map((id) => ({ id, name: languageName(id), about: id, group: "Recent" }));
  const auto = { id: "auto", name: languageName("auto"), about: "by the letters used" };
  return [auto, ...recent, ...offered];
}

/**
 * @param {App["store"]} store
 * @param {(changes: Partial<PageSettings>) => void} change
 * @param {string[]} known the engine's options
 */
function showEngineOptions(store, change, known) {
  const rows = Object.entries(ENGINE_OPTIONS)
    .filter(([name]) => known.includes(name))
    .map(([name, { label, min, max, step }]) => {
      const value = store.state.settings.options[name] ?? "";
      const input = element("input", { type: "number", min, max, step, value, placeholder: "default" });
      input.addEventListener("change", () => {
        const options = { ...store.state.settings.options };
        if (input.value === "" || !input.validity.valid) delete options[name];
        else options[name] = Number(input.value);
        change({ options });
        input.value = String(options[name] ?? "");
      });
      return element("label", {}, label, input);
    });
  byId("engine-options").hidden = rows.length === 0 && !known.includes("pitch");
  byId("engine-option-list").replaceChildren(...rows);
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
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog && NARROW.matches) dialog.close();
  });
  arrange();
  if (dialog.contains(document.activeElement)) /** @type {HTMLElement} */ (document.activeElement).blur();
}
