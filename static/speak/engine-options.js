// @ts-check
// The engine's own options, folded away: a field for each that the running engine has.

import { byId, element } from "../lib/element.js";
import { changeSettings } from "../state.js";
import { ENGINE_OPTIONS } from "../take/settings.js";

/** @param {App["store"]} store */
export function mountEngineOptions(store) {
  store.watch(["ready"], ({ ready }) => {
    const known = ready?.options ?? [];
    const rows = Object.entries(ENGINE_OPTIONS)
      .filter(([name]) => known.includes(name))
      .map(([name, option]) => row(store, name, option));
    byId("pitch-field").hidden = ready !== null && !known.includes("pitch");
    byId("engine-options").hidden = rows.length === 0 && !known.includes("pitch");
    byId("engine-option-list").replaceChildren(...rows);
  });
}

/**
 * @param {App["store"]} store
 * @param {string} name
 * @param {{ label: string, min: number, max: number, step: number }} option
 */
function row(store, name, { label, min, max, step }) {
  const value = store.state.settings.options[name] ?? "";
  const input = element("input", { type: "number", min, max, step, value, placeholder: "default" });
  input.addEventListener("change", () => {
    const options = { ...store.state.settings.options };
    if (input.value === "" || !input.validity.valid) delete options[name];
    else options[name] = Number(input.value);
    changeSettings(store, { options });
    input.value = String(options[name] ?? "");
  });
  return element("label", {}, label, input);
}
