// @ts-check
// Modal dialogs that close by a button in their header or a click on the backdrop.

/** Make a dialog closable. Return its close button. @param {HTMLDialogElement} dialog of the class `sheet` */
export function makeClosable(dialog) {
  const button = /** @type {HTMLButtonElement} */ (dialog.querySelector(".close"));
  button.addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close(); // the backdrop
  });
  return button;
}
