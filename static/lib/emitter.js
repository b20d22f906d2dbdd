// @ts-check
// Objects that dispatch events.

export class Emitter extends EventTarget {
  /**
   * Call `act` with the detail of each event of a type.
   * @param {string} type
   * @param {(detail: any) => void} act
   */
  on(type, act) {
    this.addEventListener(type, ({ detail }) => act(detail));
  }

  /**
   * Dispatch an event.
   * @param {string} type
   * @param {unknown} detail
   */
  emit(type, detail = null) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
