// @ts-check
// Changes of the colour scheme, after which canvases must be redrawn.

const QUERIES = ["(prefers-color-scheme: dark)", "(forced-colors: active)"];

/** Call `act` when the colours of the page change. @param {() => void} act */
export function onThemeChange(act) {
  for (const query of QUERIES) matchMedia(query).addEventListener("change", act);
}
