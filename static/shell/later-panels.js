// @ts-check
// The panels that the page loads later: when their tab is opened, or once the page has loaded and is idle, so that
// they are there when the server goes away. Until Play is ready, each file more costs time on a slow network.

const MOST_IDLE_MS = 2000; // to wait for an idle moment after the page has loaded

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
  async function mount(/** @type {string} */ tab) {
    const panel = /** @type {HTMLElement} */ (document.getElementById(tab));
    let module;
    try {
      module = await loaders[tab]();
    } catch {
      mounting.delete(tab); // try again when the tab is opened
      return false;
    }
    module.mount(panel, app);
    delete panel.dataset.loading; // what it does not react to yet was not to be seen
    return true;
  }

  function mountOnce(/** @type {string} */ tab) {
    const started = mounting.get(tab) ?? mount(tab);
    mounting.set(tab, started);
    return started;
  }

  store.watch(["tab"], async ({ tab }) => {
    if (tab in loaders && !(await mountOnce(tab)))
      toast.show("This tab could not be loaded; reload the page when the server is back.", { kind: "error" });
  });
  whenIdle(() => Object.keys(loaders).forEach(mountOnce));
}

/** Call `act` when the page has loaded and is idle. @param {() => void} act */
function whenIdle(act) {
  const wait = () => ("requestIdleCallback" in window ? requestIdleCallback(act, { timeout: MOST_IDLE_MS }) : setTimeout(act, MOST_IDLE_MS));
  if (document.readyState === "complete") wait();
  else window.addEventListener("load", wait, { once: true });
}
