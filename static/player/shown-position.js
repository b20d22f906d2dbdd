// @ts-check
// Tells the desktop and the lock screen where the speech is. They count on by themselves while it plays.

const OFF_S = 0.5; // a difference that is told

/** @param {MediaSession} session @param {Player} player */
export function mountShownPosition(session, player) {
  let told = { duration: 0, position: 0, playing: false, at: 0 };

  const tell = () => {
    const { take, active: playing } = player;
    if (!take?.length) return;
    const now = performance.now();
    const duration = take.seconds;
    const position = Math.min(duration, player.position / take.rate);
    const expected = told.position + (told.playing ? (now - told.at) / 1000 : 0);
    const off = Math.max(Math.abs(position - expected), Math.abs(duration - told.duration));
    if (playing === told.playing && off < OFF_S) return;
    told = { duration, position, playing, at: now };
    session.setPositionState({ duration, position });
  };
  player.on("report", tell);
  player.on("change", tell);
}
