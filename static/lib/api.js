// Client of the server's HTTP routes. Sends the key; throws errors as Refusals with the server's message.

import { httpUrl } from "./address.js";
import { Refusal } from "./notice.js";

const UNREACHABLE = "The server cannot be reached; try again in a moment.";
const BROKEN_OFF = "The upload was interrupted: the file may exceed the server's limit, or the connection was lost.";
const HEADER_SAFE = /^[\x21-\x7e]*$/; // what a header can carry; other keys go into the address
const NOT_UNDERSTOOD = "The server sent an unexpected response.";

export class Api extends EventTarget {
  #key;

  /** @param {import("./key.js").Key} key */
  constructor(key) {
    super();
    this.#key = key;
  }

  async get(path) {
    return (await this.#ask("GET", path)).json();
  }

  async bytes(path) {
    return (await this.#ask("GET", path)).arrayBuffer();
  }

  async send(method, path, body = null) {
    return (await this.#ask(method, path, body)).json();
  }

  // Uploads with XMLHttpRequest, as fetch reports no progress. progress(sent, total): bytes.
  upload(path, form, { progress, signal }) {
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      request.open("POST", this.#url(path));
      for (const [name, value] of Object.entries(this.#headers())) request.setRequestHeader(name, value);
      request.upload.onprogress = ({ loaded, total }) => progress(loaded, total);
      request.onload = () => {
        if (request.status < 400) resolve(parsed(request.responseText));
        else reject(this.#refusal(request.status, request.responseText));
      };
      request.onerror = () => reject(new Refusal(BROKEN_OFF));
      request.onabort = () => reject(new Refusal("The upload was cancelled."));
      signal.addEventListener("abort", () => request.abort());
      request.send(form);
    });
  }

  async #ask(method, path, body = null) {
    const headers = this.#headers();
    if (body) headers["Content-Type"] = "application/json";
    let answer;
    try {
      answer = await fetch(this.#url(path), { method, headers, body: body && JSON.stringify(body) });
    } catch {
      throw new Refusal(UNREACHABLE);
    }
    if (!answer.ok) throw this.#refusal(answer.status, await answer.text());
    return answer;
  }

  #headers() {
    const key = this.#key.value;
    return key && HEADER_SAFE.test(key) ? { Authorization: `Bearer ${key}` } : {};
  }

  #url(path) {
    const url = new URL(httpUrl(path));
    if (!HEADER_SAFE.test(this.#key.value)) url.searchParams.set("token", this.#key.value);
    return url.href;
  }

  #refusal(status, body) {
    if (status === 401) this.dispatchEvent(new Event("unauthorized"));
    const { error } = parsed(body);
    return new Refusal(error?.message ?? NOT_UNDERSTOOD, error?.code);
  }
}

function parsed(body) {
  try {
    return JSON.parse(body);
  } catch {
    return {};
  }
}
