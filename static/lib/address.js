// @ts-check
// Addresses of the server, relative to where the page was loaded from, so that it works behind a path prefix.

const BASE = new URL("../../", import.meta.url);

/** @param {string} path without a leading slash, such as "voices" */
export function httpUrl(path) {
  return new URL(path, BASE).href;
}

/** @param {string} path without a leading slash, such as "ws/speak" */
export function socketUrl(path) {
  const url = new URL(path, BASE);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url.href;
}
