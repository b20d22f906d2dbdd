// @ts-check
// Recordings mixed to mono.

/**
 * Return a function that returns the mixed value at a sample, -1 to 1.
 * @param {Pick<AudioBuffer, "numberOfChannels" | "getChannelData">} buffer
 */
export function monoOf(buffer) {
  const channels = Array.from({ length: buffer.numberOfChannels }, (_, at) => buffer.getChannelData(at));
  return (/** @type {number} */ at) => {
    let mixed = 0;
    for (const channel of channels) mixed += channel[at] / channels.length;
    return mixed;
  };
}
