// @ts-check
// Times of the audio device on the page's clock, performance.now().

/**
 * Return when a sample is heard, in milliseconds.
 * @param {number} time of the audio context, in seconds, when the sample left the worklet
 * @param {AudioClocks} clocks read when the worklet's message is handled
 */
export function heardAt(time, { now, delay, currentTime, latency, stamp }) {
  const estimate = stamp.performanceTime
    ? stamp.performanceTime + 1000 * (time - (stamp.contextTime ?? time))
    : now + 1000 * (time + latency - currentTime);
  // While the device starts, its clock and its time stamps jump; a sample is not heard before it left the worklet.
  return Math.max(now - Math.max(0, delay), estimate);
}
