// @ts-check
// A websocket that authenticates, keeps to the server's message rate, reconnects when it is lost, and dispatches
// the server's messages as events named by their type, audio as "binary", and a lost connection as "lost".

import { Emitter } from "./emitter.js";
import { socketUrl } from "./address.js";
import { Backoff } from "./backoff.js";
import { RateLimit } from "./rate-limit.js";

export const POLICY = 1008; // close code of a refused key or an exceeded limit

export class Channel extends Emitter {
  #path;
  #key;
  /** @type {WebSocket | null} */
  #socket = null;
  #welcome = false; // whether the server has accepted this socket
  #backoff = new Backoff();
  /** @type {Timer | undefined} */
  #again; // timer of the next attempt to connect
  #rate = new RateLimit();
  /** @type {object[]} */
  #waiting = []; // queued by the rate limit
  /** @type {Timer | undefined} */
  #timer;
  lastMessageAt = 0; // time of the last message, by performance.now()

  /** @param {string} path @param {Key} key */
  constructor(path, key) {
    super();
    this.#path = path;
    this.#key = key;
  }

  /** True once the server has accepted the connection. */
  get open() {
    return this.#welcome;
  }

  /** Open a socket, replacing any that is open. */
  connect() {
    this.close();
    const socket = new WebSocket(socketUrl(this.#path));
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      if (this.#key.value) socket.send(JSON.stringify({ type: "auth", key: this.#key.value }));
    };
    socket.onmessage = ({ data }) => this.#receive(data);
    socket.onclose = ({ code, reason }) => this.#lost(code, reason);
    this.#socket = socket;
  }

  /** Close the socket without an event. */
  close() {
    clearTimeout(this.#again);
    this.#detach();
  }

  /** Treat a silent socket as lost and reconnect. */
  abandon() {
    if (!this.#socket) return;
    this.#detach();
    this.#lost(1006, "");
  }

  /**
   * Send a message, later where the rate requires it. Dropped while there is no connection.
   * @param {object} message
   */
  send(message) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return;
    this.#waiting.push(message);
    this.#sendWaiting();
  }

  /** Drop queued messages. @param {(message: any) => boolean} unwanted */
  drop(unwanted) {
    this.#waiting = this.#waiting.filter((message) => !unwanted(message));
  }

  #sendWaiting() {
    clearTimeout(this.#timer);
    while (this.#waiting.length) {
      const now = performance.now();
      const wait = this.#rate.waitMs(now);
      if (wait > 0) {
        this.#timer = setTimeout(() => this.#sendWaiting(), wait);
        return;
      }
      this.#rate.count(now);
      this.#socket?.send(JSON.stringify(this.#waiting.shift()));
    }
  }

  /** @param {string | ArrayBuffer} data */
  #receive(data) {
    this.lastMessageAt = performance.now();
    if (data instanceof ArrayBuffer) {
      this.emit("binary", data);
      return;
    }
    const message = JSON.parse(data);
    if (message.type !== "error") {
      this.#welcome = true;
      this.#backoff.reset();
    }
    if (message.type === "ready") this.#rate.set(message.limits.messages_per_second, this.lastMessageAt);
    this.emit(message.type, message);
  }

  #detach() {
    clearTimeout(this.#timer);
    this.#waiting = [];
    if (!this.#socket) return;
    this.#socket.onopen = this.#socket.onmessage = this.#socket.onclose = null;
    this.#socket.close();
    this.#socket = null;
    this.#welcome = false;
  }

  /** @param {number} code @param {string} reason */
  #lost(code, reason) {
    const refused = code === POLICY && !this.#welcome; // later, this code means that a limit was exceeded
    this.#detach();
    if (!refused) this.#again = setTimeout(() => this.connect(), this.#backoff.next());
    this.emit("lost", { code, reason, refused });
  }
}
