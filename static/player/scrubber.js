// @ts-check
// The bar of the whole take: how much has arrived, how much has been heard; click, drag or arrow keys to seek.

import { byId } from "../lib/element.js";
import { SKIP_S } from "../speech/speaker.js";
import { clockOf } from "../take/duration.js";

const STEPS = 2000; // of the bars

/** @param {Speaker} speaker @param {Player} player */
export function mountScrubber(speaker, player) {
  const bar = byId("scrubber");
  const arrived = /** @type {HTMLElement} */ (bar.querySelector(".arrived"));
  const heard = /** @type {HTMLElement} */ (bar.querySelector(".heard"));

  const seek = (/** @type {PointerEvent} */ event) => {
    const take = player.take;
    if (!take) return;
    const { left, width } = bar.getBoundingClientRect();
    const whole = Math.max(take.seconds, take.expectedSeconds ?? 0) * take.rate;
    speaker.seek(Math.min(take.length, ((event.clientX - left) / width) * whole));
  };
  bar.addEventListener("pointerdown", (event) => {
    bar.setPointerCapture(event.pointerId);
    seek(event);
  });
  bar.addEventListener("pointermove", (event) => {
    if (bar.hasPointerCapture(event.pointerId)) seek(event);
  });
  bar.addEventListener("keydown", (event) => {
    const steps = { ArrowRight: SKIP_S, ArrowUp: SKIP_S, ArrowLeft: -SKIP_S, ArrowDown: -SKIP_S };
    const step = steps[/** @type {keyof typeof steps} */ (event.key)];
    if (step) speaker.skip(step);
    else if (event.key === "Home") speaker.seek(0);
    else if (event.key === "End") speaker.seek(player.take?.length ?? 0);
    else return;
    event.preventDefault();
  });

  return {
    show() {
      const { take, position } = player;
      const whole = take ? Math.max(take.seconds, take.expectedSeconds ?? 0) : 0;
      scale(arrived, whole && take ? take.seconds / whole : 0);
      scale(heard, whole && take ? position / take.rate / whole : 0);
      const now = String(take ? Math.floor(position / take.rate) : 0);
      if (bar.getAttribute("aria-valuenow") !== now) {
        bar.setAttribute("aria-valuenow", now);
        bar.setAttribute("aria-valuetext", `${clockOf(Number(now))} of ${clockOf(whole)}`);
      }
      const most = String(Math.ceil(whole));
      if (bar.getAttribute("aria-valuemax") !== most) bar.setAttribute("aria-valuemax", most);
    },
  };
}

// Sets the length of a bar in visible steps, as each change causes a repaint.
function scale(/** @type {HTMLElement} */ bar, /** @type {number} */ share) {
  const transform = `scaleX(${Math.round(share * STEPS) / STEPS})`;
  if (bar.style.transform !== transform) bar.style.transform = transform;
}
