// @ts-check
// The panels that the page loads later: when their tab is opened, or once it is connected and idle, so that they are
// there when the server goes away. Every additional file delays Play on a slow network.

import { byId } from "../lib/element.js";

const MOST_WAIT_MS = 2000; // for an idle moment
const UNCONNECTED_MS = 5000; // load the panels after this even without a connection

/**
 * @typedef {{ mount: (panel: HTMLElement, app: App) => void }} PanelModule
 * @param {App} app
 * @param {Record<string, () => Promise<PanelModule>>} loaders by the name of the tab, which is its panel's id
 */
export function mountLater(app, loaders) {
  const { store, toast } = app;
  /** @type {Map<string, Promise<boolean>>} */
  const mounting = new Map();

  /** Return whether the panel could be loaded. */
  async function load(/** @type {string} */ tab) {
    const panel = byId(tab);
    try {
      const { mount } = await loaders[tab]();
      mount(panel, app);
    } catch (error) {
      console.error(error);
      panel.setAttribute("aria-busy", "false");
      return false; // browsers keep the failure: only a reload tries again
    }
    panel.removeAttribute("aria-busy");
    return true;
  }

  function mountOnce(/** @type {string} */ tab) {
    const started = mounting.get(tab) ?? load(tab);
    mounting.set(tab, started);
    return started;
  }

  store.watch(["tab"], async ({ tab }) => {
    if (!(tab in loaders) || (await mountOnce(tab)) || store.state.tab !== tab) return;
    const action = { label: "Reload", act: () => location.reload() };
    toast.show("This tab could not be loaded.", { kind: "error", lasting: true, action });
  });

  const mountAll = once(() => whenIdle(() => Object.keys(loaders).forEach(mountOnce)));
  store.watch(["connection"], ({ connection }) => connection === "online" && mountAll());
  setTimeout(mountAll, UNCONNECTED_MS);
}

/** @param {() => void} act */
function once(act) {
  let done = false;
  return () => {
    if (!done) act();
    done = true;
  };
}

/** @param {() => void} act */
function whenIdle(act) {
  if ("requestIdleCallback" in window) requestIdleCallback(act, { timeout: MOST_WAIT_MS });
  else setTimeout(act, MOST_WAIT_MS);
}
