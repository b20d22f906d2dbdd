// @ts-check
// WAV files of mono 16-bit PCM.

/**
 * Return the parts of a WAV file, to make a Blob of.
 * @param {Int16Array<ArrayBuffer>} samples
 * @param {number} rate
 * @returns {[ArrayBuffer, Int16Array<ArrayBuffer>]}
 */
export function wavParts(samples, rate) {
  const header = new DataView(new ArrayBuffer(44));
  const name = (/** @type {number} */ at, /** @type {string} */ four) =>
    [...four].forEach((letter, index) => header.setUint8(at + index, letter.charCodeAt(0)));
  name(0, "RIFF");
  header.setUint32(4, 36 + samples.byteLength, true);
  name(8, "WAVE");
  name(12, "fmt ");
  header.setUint32(16, 16, true);
  header.setUint16(20, 1, true); // PCM
  header.setUint16(22, 1, true); // channels
  header.setUint32(24, rate, true);
  header.setUint32(28, 2 * rate, true);
  header.setUint16(32, 2, true);
  header.setUint16(34, 16, true);
  name(36, "data");
  header.setUint32(40, samples.byteLength, true);
  return [header.buffer, samples];
}
