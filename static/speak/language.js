// @ts-check
// The language of the text: found by its letters, or picked; the languages picked last come first.

import { byId } from "../lib/element.js";
import { languageName } from "../lib/languages.js";
import { changeSettings } from "../state.js";
import { MOST_RECENT } from "../take/settings.js";

/** @param {App} app */
export function mountLanguage({ store, picker }) {
  byId("language").addEventListener("click", () =>
    picker.open({
      title: "Language",
      choices: choicesOf(store.state),
      picked: [store.state.settings.language],
      pick: (language) => {
        changeSettings(store, { language, recentLanguages: recentWith(language, store.state.settings) });
      },
    }),
  );
  store.watch(["ready"], ({ ready }) => {
    byId("language").disabled = !ready;
    byId("language-field").hidden = ready !== null && !ready.options.includes("language");
  });
  store.watch(["settings"], ({ settings }) => {
    byId("language-shown").textContent = languageName(settings.language);
  });
}

/** @param {string} language @param {PageSettings} settings */
function recentWith(language, { recentLanguages: recent }) {
  if (language === "auto") return recent;
  return [language, ...recent.filter((one) => one !== language)].slice(0, MOST_RECENT);
}

/** @param {State} state */
function choicesOf({ ready, settings }) {
  const choice = (/** @type {string} */ id, /** @type {string} */ group) =>
    ({ id, name: languageName(id), about: id, group });
  const offered = ready?.languages ?? [];
  const all = offered.map((id) => choice(id, "All")).sort((one, other) => one.name.localeCompare(other.name, "en"));
  const recent = settings.recentLanguages.filter((id) => offered.includes(id)).map((id) => choice(id, "Recent"));
  return [{ id: "auto", name: languageName("auto"), about: "by the letters used" }, ...recent, ...all];
}
