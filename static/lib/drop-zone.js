// @ts-check
// Files dropped onto an element.

/**
 * Give a dropped file to `accept`; the element has the class "over" while a file is held over it.
 * @param {HTMLElement} zone
 * @param {(file: File) => void} accept
 */
export function receiveDrops(zone, accept) {
  zone.addEventListener("dragover", (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return; // dragged text is the browser's
    event.preventDefault();
    zone.classList.add("over");
  });
  zone.addEventListener("dragleave", () => zone.classList.remove("over"));
  zone.addEventListener("drop", (event) => {
    const file = event.dataTransfer?.files[0];
    if (!file) return;
    event.preventDefault();
    zone.classList.remove("over");
    accept(file);
  });
}
