// A websocket that authenticates, reconnects when it is lost, and dispatches its messages as events.

const FIRST_DELAY_MS = 500;
const LONGEST_DELAY_MS = 15000;
const POLICY = 1008;

export class Channel extends EventTarget {
  #path;
  #key;
  #socket = null;
  #welcome = false; // whether the server has accepted this socket
  #delay = FIRST_DELAY_MS;
  #again = 0; // timer of the next attempt to connect

  constructor(path, key) {
    super();
    this.#path = path;
    this.#key = key; // a function, as the key may be entered later
  }

  // Opens a socket, replacing any that is open.
  open() {
    clearTimeout(this.#again);
    if (this.#socket) {
      this.#socket.onopen = this.#socket.onmessage = this.#socket.onclose = null;
      this.#socket.close();
    }
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(`${scheme}//${location.host}${this.#path}`);
    this.#welcome = false;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      if (this.#key()) this.send({ type: "auth", key: this.#key() });
    };
    socket.onmessage = ({ data }) => this.#hear(data);
    socket.onclose = ({ code, reason }) => this.#lost(code, reason);
    this.#socket = socket;
  }

  send(message) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  #hear(data) {
    if (data instanceof ArrayBuffer) {
      this.dispatchEvent(new CustomEvent("binary", { detail: data }));
      return;
    }
    const message = JSON.parse(data);
    if (message.type !== "error") {
      this.#welcome = true;
      this.#delay = FIRST_DELAY_MS;
    }
    this.dispatchEvent(new CustomEvent(message.type, { detail: message }));
  }

  #lost(code, reason) {
    this.#socket = null;
    const refused = code === POLICY && !this.#welcome; // later, the same code means that a limit was exceeded
    this.dispatchEvent(new CustomEvent("lost", { detail: { code, reason, refused } }));
    if (refused) return;
    this.#again = setTimeout(() => this.open(), this.#delay * (0.75 + Math.random() / 2));
    this.#delay = Math.min(LONGEST_DELAY_MS, 2 * this.#delay);
  }
}
