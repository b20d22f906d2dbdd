// @ts-check
// The way to the first sound, in stages, from a take's metrics.

/**
 * Return the stages that are known. The network's is what the server's own time leaves of the wait for the first sound.
 * @param {Metrics} metrics
 * @returns {Stage[]}
 */
export function stagesOf({ clicked, device, sent, tokens, arrived, heard, queue_ms: queue, first_audio_ms: first }) {
  if (clicked === undefined) return [];
  /** @param {string} name @param {string} about @param {number} from @param {number} to */
  const stage = (name, about, from, to) => ({ name, about, start: from - clicked, ms: Math.max(0, to - from) });
  const stages = [];
  if (device !== undefined)
    stages.push(stage("Audio device", "from the click until the audio device runs", clicked, device));
  if (sent === undefined || arrived === undefined) return stages;
  if (first === undefined) {
    const about = "from the request to its first sound; the parts are known at the end of the speech";
    stages.push(stage("Server", about, sent, arrived));
  } else {
    const server = Math.min(first, arrived - sent);
    const queued = arrived - server + Math.min(queue ?? 0, server);
    stages.push(
      tokens
        ? stage("Text and network", "tokens of the first sentence and response back", sent, arrived - server)
        : stage("Network", "request to the server and response back", sent, arrived - server),
      stage("Queue", "waiting for the engine", arrived - server, queued),
      stage("Synthesis", "until the engine's first sound", queued, arrived),
    );
  }
  if (heard !== undefined)
    stages.push(stage("Buffer", "from the arrival of the first sound until it is heard", arrived, heard));
  return stages;
}

/** Milliseconds from the click until the first sound was heard, or null. @param {Metrics} metrics */
export function firstSoundMs({ clicked, heard }) {
  return clicked === undefined || heard === undefined ? null : Math.max(0, heard - clicked);
}
