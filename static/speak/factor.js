// @ts-check
// A slider of a factor, speed or pitch, with 1 in the middle.

import { byId } from "../lib/element.js";
import { changeSettings } from "../state.js";
import { factorAt, positionOf } from "../take/settings.js";

/** @param {App["store"]} store @param {"speed" | "pitch"} name @param {{ max: number }} range */
export function mountFactor(store, name, range) {
  const slider = byId(name);
  slider.addEventListener("input", () => changeSettings(store, { [name]: factorAt(Number(slider.value), range) }));
  store.watch(["settings"], ({ settings }) => {
    const value = settings[name];
    if (factorAt(Number(slider.value), range) !== value) slider.value = String(positionOf(value, range));
    slider.setAttribute("aria-valuetext", `${value} times`);
    byId(`${name}-value`).textContent = `${value}×`;
  });
}
