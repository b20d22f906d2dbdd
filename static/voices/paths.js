// @ts-check
// Paths of voice samples on the server.

/** @param {string} id */
export const pathOf = (id) => `audio_prompts/${encodeURIComponent(id)}`;

/** @param {string} id */
export const metadataOf = (id) => `audio_prompts/metadata/${encodeURIComponent(id)}`;
