// @ts-check
// Keeps the takes of the player in the history when they are complete, each once.

const LEAST_S = 0.2;

/**
 * Return the set of takes already kept; add takes that must not be kept again.
 * @param {Player} player
 * @param {TakeStore} takes
 */
export function keepTakes(player, takes) {
  /** @type {WeakSet<object>} */
  const kept = new WeakSet();
  /** @type {Take | null} */
  let current = null;

  async function keep() {
    const take = current;
    if (!take?.complete || take.seconds < LEAST_S || kept.has(take)) return;
    kept.add(take);
    await takes.keep(take).catch(() => kept.delete(take)); // storage is full or forbidden
  }
  player.on("change", () => {
    if (player.take === current) return;
    current?.removeEventListener("end", keep);
    current = player.take;
    current?.addEventListener("end", keep);
    keep();
  });
  return kept;
}
