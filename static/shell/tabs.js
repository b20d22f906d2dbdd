// @ts-check
// The tabs: Speak, Compare, Voices, Server. Left and Right move between them.

import { byId } from "../lib/element.js";

/** @param {App} app */
export function mountTabs({ store }) {
  const tabs = /** @type {HTMLElement[]} */ ([...document.querySelectorAll("[role=tab]")]);
  const idOf = (/** @type {HTMLElement} */ tab) => tab.dataset.tab ?? "";

  for (const tab of tabs) tab.addEventListener("click", () => store.set({ tab: idOf(tab) }));
  tabs[0].parentElement?.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const at = tabs.indexOf(/** @type {HTMLElement} */ (document.activeElement));
    const to = { Home: 0, End: tabs.length - 1 }[event.key] ?? (step && (at + step + tabs.length) % tabs.length);
    if (to === undefined || at < 0) return;
    event.preventDefault();
    tabs[to].focus();
    store.set({ tab: idOf(tabs[to]) });
  });

  store.watch(["tab"], (state) => {
    for (const tab of tabs) {
      const chosen = idOf(tab) === state.tab;
      tab.setAttribute("aria-selected", String(chosen));
      tab.tabIndex = chosen ? 0 : -1;
      byId(idOf(tab)).hidden = !chosen;
    }
    document.body.dataset.tab = state.tab;
  });
}
