// @ts-check
// The colours that the user has asked for, which canvases have to be drawn anew in.

const QUERIES = ["(prefers-color-scheme: dark)", "(forced-colors: active)"];

/** Call `act` when the colours of the page change. @param {() => void} act */
export function onThemeChange(act) {
  for (const query of QUERIES) matchMedia(query).addEventListener("change", act);
}
