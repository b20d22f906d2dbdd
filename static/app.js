// The page: creates what the panels share, and mounts them.

import { Api } from "./lib/api.js";
import { AudioFocus } from "./lib/audio-focus.js";
import { Channel } from "./lib/channel.js";
import { Key } from "./lib/key.js";
import { mount as mountServer } from "./server/panel.js";
import { mountConnection } from "./shell/connection.js";
import { mountKeyForm } from "./shell/key-form.js";
import { mountTabs } from "./shell/tabs.js";
import { Toast } from "./shell/toast.js";
import { mount as mountSpeak } from "./speak/panel.js";
import { createStore } from "./state.js";
import { mount as mountVoices } from "./voices/panel.js";

/**
 * What the panels share.
 * @typedef {object} App
 * @property {ReturnType<typeof createStore>} store what the page knows
 * @property {Key} key
 * @property {Api} api the server's HTTP routes
 * @property {Channel} speech the websocket that speaks
 * @property {Channel} status the websocket that reports the server's state
 * @property {Toast} toast short messages to the user
 * @property {AudioFocus} focus one sound at a time
 */

const panel = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));

const key = new Key();

/** @type {App} */
export const app = {
  store: createStore(),
  key,
  api: new Api(key),
  speech: new Channel("ws/speak", key),
  status: new Channel("ws/status", key),
  toast: new Toast(panel("toast")),
  focus: new AudioFocus(),
};

mountTabs(app);
mountSpeak(panel("speak"), app);
mountVoices(panel("voices"), app);
mountServer(panel("server"), app);
const connection = mountConnection(app);
mountKeyForm(app, connection.connect);
