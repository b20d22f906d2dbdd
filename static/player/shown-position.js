// @ts-check
// Reports the playback position to the desktop and the lock screen, which count on while it plays.

const OFF_S = 0.5; // differences below this are not reported

/** @param {MediaSession} session @param {Player} player */
export function mountShownPosition(session, player) {
  let reported = { duration: 0, position: 0, playing: false, at: 0 };

  const tell = () => {
    const { take, active: playing } = player;
    if (!take?.length) return;
    const now = performance.now();
    const duration = take.seconds;
    const position = Math.min(duration, player.position / take.rate);
    const expected = reported.position + (reported.playing ? (now - reported.at) / 1000 : 0);
    const off = Math.max(Math.abs(position - expected), Math.abs(duration - reported.duration));
    if (playing === reported.playing && off < OFF_S) return;
    reported = { duration, position, playing, at: now };
    session.setPositionState({ duration, position });
  };
  player.on("report", tell);
  player.on("change", tell);
}
