// @ts-check
// The way to the first sound, in stages, from a take's metrics.

/**
 * Return the stages that are known. Network is what the server's own time leaves of the wait for the first sound.
 * @param {Metrics} metrics
 * @returns {Stage[]}
 */
export function stagesOf({ clicked, device, sent, arrived, heard, queue_ms: queue, first_audio_ms: first }) {
  if (clicked === undefined) return [];
  /** @type {Stage[]} */
  const stages = [];
  /**
   * Add a stage; return its end.
   * @param {string} name
   * @param {string} about
   * @param {number} from
   * @param {number} to
   */
  const add = (name, about, from, to) => {
    stages.push({ name, about, start: from - clicked, ms: Math.max(0, to - from) });
    return Math.max(from, to);
  };
  if (device !== undefined) add("Audio device", "from the click until the audio device runs", clicked, device);
  if (sent !== undefined && arrived !== undefined) {
    const server = Math.min(first ?? 0, arrived - sent);
    const wait = Math.min(queue ?? 0, server);
    let at = arrived;
    if (first === undefined) {
      add("Server", "from the request to its first sound; the parts are known at the end of the speech", sent, arrived);
    } else {
      at = add("Network", "the request's way to the server, and the answer's way back", sent, arrived - server);
      at = add("Queue", "waiting for the engine", at, at + wait);
      at = add("Synthesis", "until the engine's first sound", at, at + server - wait);
    }
    if (heard !== undefined)
      add("Buffer", "from the arrival of the first sound until it is heard", Math.max(at, arrived), heard);
  }
  return stages;
}

/** Milliseconds from the click until the first sound was heard, or null. @param {Metrics} metrics */
export function firstSoundMs({ clicked, heard }) {
  return clicked === undefined || heard === undefined ? null : Math.max(0, heard - clicked);
}
