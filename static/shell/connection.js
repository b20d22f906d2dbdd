// @ts-check
// The connection to the server: opens both channels, notices when the server is gone, and says so in the header.

import { httpUrl } from "../lib/address.js";
import { POLICY } from "../lib/channel.js";
import { byId } from "../lib/element.js";

const SILENT_MS = 3000; // the status channel ticks every second
const CHECK_MS = 500;
const ANSWER_MS = 5000; // timeout of a request
const WORDS = {
  connecting: "Connecting…",
  online: "Connected",
  offline: "Offline, reconnecting…",
  locked: "API key required",
};

/** Connect. Return a function that connects again, with a key that was entered. @param {App} app */
export function mountConnection(app) {
  const connection = new Connection(app);
  const line = byId("connection");
  app.store.watch(["connection"], ({ connection: state }) => {
    line.dataset.state = state;
    line.textContent = WORDS[state];
  });
  connection.begin();
  return { connect: () => connection.connect() };
}

class Connection {
  #app;
  #temporary = ""; // error message to hide when connected

  /** @param {App} app */
  constructor(app) {
    this.#app = app;
    this.#followSpeaking();
    this.#followStatus();
    app.api.on("unauthorized", () => this.#lock());
    setInterval(() => this.#check(), CHECK_MS);
    addEventListener("offline", () => this.#abandon());
    addEventListener("online", () => this.#app.store.state.connection !== "online" && this.connect());
  }

  /** Ask a route first whether a key is required: a socket without one waits silently. */
  async begin() {
    const answer = this.#app.key.value ? null : await probe("queue/stats");
    if (answer?.status === 401) this.#lock();
    else this.connect();
  }

  connect() {
    const { store, key, speakChannel, status } = this.#app;
    if (store.state.connection === "locked" && !key.value) return;
    store.set({ connection: "connecting" });
    speakChannel.connect();
    status.connect();
  }

  #followSpeaking() {
    const { store, speakChannel, toast } = this.#app;
    speakChannel.on("ready", (ready) => {
      store.set({ ready, voices: ready.voices, connection: "online" });
      toast.hide(this.#temporary);
    });
    speakChannel.on("lost", ({ code, reason, refused }) => {
      if (refused) {
        this.#lock();
        return;
      }
      store.set({ connection: "offline" });
      if (reason && code === POLICY) toast.show(reason, { kind: "error" });
      else if (code === 1006) this.#explain();
    });
  }

  #followStatus() {
    const { store, status } = this.#app;
    status.on("status", (report) => store.set({ status: report }));
    status.on("lost", () => store.set({ status: null }));
  }

  // Notices when the server has gone silent.
  #check() {
    const { store, speakChannel, status } = this.#app;
    if (store.state.connection !== "online") return;
    if (!status.open) speakChannel.send({ type: "ping" }); // the status channel is full: ask the other one
    const heard = Math.max(status.lastMessageAt, speakChannel.lastMessageAt);
    if (performance.now() - heard >= SILENT_MS) this.#abandon();
  }

  #abandon() {
    this.#app.speakChannel.abandon();
    this.#app.status.abandon();
  }

  #lock() {
    const { store, speakChannel, status, toast } = this.#app;
    speakChannel.close();
    status.close();
    store.set({ connection: "locked", status: null });
    toast.hide(this.#temporary);
  }

  async #explain() {
    const { store, toast } = this.#app;
    const reason = await reasonOffline();
    if (store.state.connection !== "offline" || toast.shown) return; // the message about lost speech has priority
    this.#temporary = `${reason} Reconnecting…`;
    toast.show(this.#temporary, { kind: "error", lasting: true });
  }
}

/** Return why there is no connection; browsers hide why a handshake was refused. */
async function reasonOffline() {
  const answer = await probe("readyz");
  if (!answer) return "The server cannot be reached.";
  return answer.ok ? "The server refused the connection; it may be full." : "The server is not ready yet.";
}

/** Return a route's response; null if it does not come in time. @param {string} path */
async function probe(path) {
  return fetch(httpUrl(path), { signal: AbortSignal.timeout(ANSWER_MS) }).catch(() => null);
}
