// @ts-check
// The binary messages of the server: a header with the handle of the context, then mono 16-bit PCM.

const HEADER_BYTES = 16;
const HANDLE_AT = 2;

/** Return the handle; `started` maps it to a context. @param {ArrayBuffer} frame */
export function handleOf(frame) {
  return new DataView(frame).getUint16(HANDLE_AT, true);
}

/** Return the samples, without copying them. @param {ArrayBuffer} frame */
export function samplesOf(frame) {
  return new Int16Array(frame, HEADER_BYTES);
}
