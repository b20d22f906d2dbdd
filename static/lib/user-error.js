// @ts-check
// Errors shown to users.

/** An error with a message for the user. */
export class UserError extends Error {
  /**
   * @param {string} message
   * @param {string} code the server's error code, if it refused the request
   */
  constructor(message, code = "") {
    super(message);
    this.code = code;
  }
}
