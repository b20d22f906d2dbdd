// @ts-check
// The engine's own options, folded away: a field for each that the running engine has.

import { byId, element } from "../lib/element.js";
import { changeSettings } from "../state.js";
import { ENGINE_OPTIONS } from "../take/settings.js";

/** @param {App["store"]} store */
export function mountEngineOptions(store) {
  const rows = Object.entries(ENGINE_OPTIONS).map(([name, option]) => row(store, name, option));
  byId("engine-option-list").replaceChildren(...rows);
  store.watch(["ready"], ({ ready }) => {
    const known = ready?.options ?? [];
    byId("pitch-field").hidden = ready !== null && !known.includes("pitch");
    byId("engine-options").hidden = rows.every((row) => row.hidden) && !known.includes("pitch");
  });
}

/**
 * @param {App["store"]} store
 * @param {string} name
 * @param {{ label: string, min: number, max: number, step: number }} option
 */
function row(store, name, { label, min, max, step }) {
  const input = element("input", { type: "number", min, max, step, placeholder: "default" });
  const line = element("label", {}, label, input);
  const show = () => (input.value = String(store.state.settings.options[name] ?? ""));
  input.addEventListener("change", () => {
    const options = { ...store.state.settings.options };
    if (input.value === "" || !input.validity.valid) delete options[name];
    else options[name] = Number(input.value);
    changeSettings(store, { options });
    show();
  });
  store.watch(["ready"], ({ ready }) => (line.hidden = !ready?.options.includes(name)));
  store.watch(["settings"], () => document.activeElement === input || show());
  return line;
}
