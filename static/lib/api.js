// @ts-check
// Client of the server's HTTP routes. Sends the key; throws errors as UserErrors with the server's message.

import { Emitter } from "./emitter.js";
import { httpUrl } from "./address.js";
import { UserError } from "./user-error.js";

const UNREACHABLE = "The server cannot be reached; try again in a moment.";
const INTERRUPTED = "The connection was lost before the server's whole response had come; try again.";
const BROKEN_OFF = "The upload was interrupted: the file may exceed the server's limit, or the connection was lost.";
const HEADER_SAFE = /^[\x21-\x7e]*$/; // what a header can carry; other keys go into the address
const NOT_UNDERSTOOD = "The server sent an unexpected response.";
const LIST_MS = 15_000; // timeout of what the server answers at once; sound and changes may take longer

export class Api extends Emitter {
  #key;

  /** @param {Key} key */
  constructor(key) {
    super();
    this.#key = key;
  }

  /** Return the JSON of an answer. @param {string} path */
  get(path) {
    return this.#ask("GET", path, json, { signal: AbortSignal.timeout(LIST_MS) });
  }

  /**
   * Return the bytes of an answer. With a body, it is POSTed.
   * @param {string} path
   * @param {object | null} body
   */
  bytes(path, body = null) {
    return this.#ask(body ? "POST" : "GET", path, (answer) => answer.arrayBuffer(), { body });
  }

  /**
   * Send a request and return the JSON of its answer.
   * @param {string} method
   * @param {string} path
   * @param {object | null} body
   */
  send(method, path, body = null) {
    return this.#ask(method, path, json, { body });
  }

  /**
   * Upload with XMLHttpRequest, as fetch reports no progress.
   * @param {string} path
   * @param {FormData} form
   * @param {{ progress: (sent: number, total: number) => void, signal: AbortSignal }} how progress in bytes
   * @returns {Promise<any>}
   */
  upload(path, form, { progress, signal }) {
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      request.open("POST", this.#url(path));
      for (const [name, value] of Object.entries(this.#headers())) request.setRequestHeader(name, value);
      request.upload.onprogress = ({ loaded, total }) => progress(loaded, total);
      request.onload = () => {
        if (request.status < 400) resolve(parsed(request.responseText));
        else reject(this.#userError(request.status, request.responseText));
      };
      request.onerror = () => reject(new UserError(BROKEN_OFF));
      request.onabort = () => reject(new UserError("The upload was cancelled."));
      signal.addEventListener("abort", () => request.abort());
      request.send(form);
    });
  }

  /**
   * @template Content
   * @param {string} method
   * @param {string} path
   * @param {(answer: Response) => Promise<Content>} read what is wanted of an answer
   * @param {{ body?: object | null, signal?: AbortSignal }} how
   */
  async #ask(method, path, read, { body = null, signal } = {}) {
    const headers = this.#headers();
    if (body) headers["Content-Type"] = "application/json";
    let answer;
    try {
      answer = await fetch(this.#url(path), { method, headers, body: body && JSON.stringify(body), signal });
    } catch {
      throw new UserError(UNREACHABLE);
    }
    let refusal;
    try {
      if (answer.ok) return await read(answer);
      refusal = await answer.text();
    } catch (error) {
      throw new UserError(error instanceof SyntaxError ? NOT_UNDERSTOOD : INTERRUPTED);
    }
    throw this.#userError(answer.status, refusal);
  }

  /** @returns {Record<string, string>} */
  #headers() {
    const key = this.#key.value;
    return key && HEADER_SAFE.test(key) ? { Authorization: `Bearer ${key}` } : {};
  }

  /** @param {string} path */
  #url(path) {
    const url = new URL(httpUrl(path));
    if (!HEADER_SAFE.test(this.#key.value)) url.searchParams.set("token", this.#key.value);
    return url.href;
  }

  /** @param {number} status @param {string} body */
  #userError(status, body) {
    if (status === 401) this.emit("unauthorized");
    const { error } = parsed(body);
    return new UserError(error?.message ?? NOT_UNDERSTOOD, error?.code);
  }
}

/** @param {Response} answer @returns {Promise<any>} */
const json = (answer) => answer.json();

/** @param {string} body */
function parsed(body) {
  try {
    return JSON.parse(body);
  } catch {
    return {};
  }
}
