// @ts-check
// Keeps the screen awake while it speaks.

/** @param {Player} player */
export function mountWakeLock(player) {
  /** @type {WakeLockSentinel | null} */
  let lock = null;
  let asking = false;

  const isWanted = () => player.active && document.visibilityState === "visible";

  async function hold() {
    if (asking) return; // a second lock would never be released
    if (isWanted() && (!lock || lock.released)) {
      asking = true;
      lock = (await navigator.wakeLock?.request("screen").catch(() => null)) ?? null;
      asking = false;
    }
    if (isWanted()) return;
    await lock?.release();
    lock = null;
  }
  player.on("change", hold);
  document.addEventListener("visibilitychange", hold);
}
