// A websocket that shows its key, comes back when it is lost, and hands on JSON and binary messages as events.

const FIRST_DELAY_MS = 500;
const LONGEST_DELAY_MS = 15000;
const POLICY = 1008;

export class Channel extends EventTarget {
  #path;
  #key;
  #socket = null;
  #welcome = false; // whether the server has let this socket in
  #delay = FIRST_DELAY_MS;
  #again = 0; // the timer that opens it again

  constructor(path, key) {
    super();
    this.#path = path;
    this.#key = key; // a function: the key may come later
  }

  // Opens a socket in place of the one there is, if any.
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
    const refused = code === POLICY && !this.#welcome; // later, the same code ends slow or hasty clients
    this.dispatchEvent(new CustomEvent("lost", { detail: { code, reason, refused } }));
    if (refused) return;
    this.#again = setTimeout(() => this.open(), this.#delay * (0.75 + Math.random() / 2));
    this.#delay = Math.min(LONGEST_DELAY_MS, 2 * this.#delay);
  }
}
