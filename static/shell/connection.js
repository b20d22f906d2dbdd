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

/** @param {App} app */
export function mountConnection(app) {
  const { store, speech, status, key, toast } = app;
  const line = byId("connection");
  let temporary = ""; // error message to hide when connected

  store.watch(["connection"], ({ connection }) => {
    line.dataset.state = connection;
    line.textContent = WORDS[connection];
  });

  speech.on("ready", (ready) => {
    store.set({ ready, voices: ready.voices, connection: "online" });
    toast.hide(temporary);
  });
  speech.on("lost", ({ code, reason, refused }) => {
    if (refused) {
      lock();
      return;
    }
    store.set({ connection: "offline" });
    if (reason && code === POLICY) toast.show(reason, { kind: "error" });
    else if (code === 1006) explain();
  });
  status.on("status", (report) => store.set({ status: report }));
  status.on("lost", () => store.set({ status: null }));
  app.api.on("unauthorized", lock);

  setInterval(() => {
    const now = performance.now();
    if (store.state.connection !== "online") return;
    if (!status.open) speech.send({ type: "ping" }); // the status channel is full: ask the other one
    if (now - Math.max(status.lastMessageAt, speech.lastMessageAt) < SILENT_MS) return;
    speech.abandon();
    status.abandon();
  }, CHECK_MS);
  addEventListener("offline", () => {
    speech.abandon();
    status.abandon();
  });
  addEventListener("online", () => store.state.connection !== "online" && connect());

  function lock() {
    speech.close();
    status.close();
    store.set({ connection: "locked", status: null });
    toast.hide(temporary);
  }

  function connect() {
    if (store.state.connection === "locked" && !key.value) return;
    store.set({ connection: "connecting" });
    speech.connect();
    status.connect();
  }

  // Shows why there is no connection; browsers hide why a handshake was refused.
  async function explain() {
    const answer = await asked("readyz");
    if (store.state.connection !== "offline" || toast.shown) return; // the message about lost speech has priority
    if (!answer) temporary = "The server cannot be reached. Reconnecting…";
    else if (answer.ok) temporary = "The server refused the connection; it may be full. Reconnecting…";
    else temporary = "The server is not ready yet. Reconnecting…";
    toast.show(temporary, { kind: "error", lasting: true });
  }

  // Asks a route whether a key is required: a socket without one waits silently.
  async function begin() {
    const answer = key.value ? null : await asked("queue/stats");
    if (answer?.status === 401) lock();
    else connect();
  }

  begin();
  return { connect };
}

/** Return a route's response; null if it does not come in time. @param {string} path */
async function asked(path) {
  return fetch(httpUrl(path), { signal: AbortSignal.timeout(ANSWER_MS) }).catch(() => null);
}
