// @ts-check
// Modal dialogs that close by a button in their header or a click on the backdrop.

/** Make a dialog closable. Return its close button. @param {HTMLDialogElement} dialog of the class `sheet` */
export function makeClosable(dialog) {
  const button = /** @type {HTMLButtonElement} */ (dialog.querySelector(".close"));
  button.addEventListener("click", () => dialog.close());
  closeOnBackdrop(dialog);
  return button;
}

/** Close a modal dialog when its backdrop is clicked: pressed and released outside. @param {HTMLDialogElement} dialog */
export function closeOnBackdrop(dialog) {
  let pressed = false; // whether the pointer went down on the backdrop
  const isOutside = (/** @type {MouseEvent} */ { target, clientX, clientY }) => {
    const { left, right, top, bottom } = dialog.getBoundingClientRect();
    return target === dialog && (clientX < left || clientX > right || clientY < top || clientY > bottom);
  };
  dialog.addEventListener("pointerdown", (event) => (pressed = isOutside(event)));
  dialog.addEventListener("click", (event) => {
    if (pressed && isOutside(event)) dialog.close();
  });
}
