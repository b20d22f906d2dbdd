// @ts-check
// Dialogs over the page, which a button in their head and a click beside them close.

/** Let a dialog be closed. Return its close button. @param {HTMLDialogElement} dialog of the class `sheet` */
export function makeClosable(dialog) {
  const button = /** @type {HTMLButtonElement} */ (dialog.querySelector(".close"));
  button.addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close(); // the backdrop
  });
  return button;
}
