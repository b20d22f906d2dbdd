// @ts-check
// The page: creates what the panels share, and mounts them.

import { Player } from "./audio/player.js";
import { mount as mountCompare } from "./compare/panel.js";
import { Api } from "./lib/api.js";
import { AudioFocus } from "./lib/audio-focus.js";
import { Channel } from "./lib/channel.js";
import { Key } from "./lib/key.js";
import { Picker } from "./lib/picker.js";
import { mount as mountServer } from "./server/panel.js";
import { mountConnection } from "./shell/connection.js";
import { mountKeyForm } from "./shell/key-form.js";
import { mountTabs } from "./shell/tabs.js";
import { Toast } from "./shell/toast.js";
import { mount as mountSpeak } from "./speak/panel.js";
import { Sampler } from "./speak/sampler.js";
import { keepChanges, restored } from "./speak/settings-keeper.js";
import { Contexts } from "./speech/contexts.js";
import { Speaker } from "./speech/speaker.js";
import { createStore } from "./state.js";
import { mount as mountVoices } from "./voices/panel.js";

/**
 * Objects that the panels share.
 * @typedef {object} App
 * @property {ReturnType<typeof createStore>} store what the page knows
 * @property {Key} key
 * @property {Api} api the server's HTTP routes
 * @property {Channel} speech the websocket that speaks
 * @property {Channel} status the websocket that reports the server's state
 * @property {Toast} toast short messages to the user
 * @property {AudioFocus} focus one sound at a time
 * @property {Picker} picker the dialog to pick voices and languages from
 * @property {Player} player plays a take
 * @property {Contexts} contexts what the server is speaking for this page
 * @property {Speaker} speaker keeps the player supplied
 * @property {Sampler} sampler plays a voice, for choosing one
 */

const panel = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));

const key = new Key();
const store = createStore(restored());
const speech = new Channel("ws/speak", key);

export const app = /** @type {App} */ ({
  store,
  key,
  speech,
  api: new Api(key),
  status: new Channel("ws/status", key),
  toast: new Toast(panel("toast")),
  focus: new AudioFocus(),
  picker: new Picker(),
  player: new Player(),
  contexts: new Contexts({ speech, store }),
});
app.speaker = new Speaker(app);
app.sampler = new Sampler(app);

keepChanges(store);
mountTabs(app);
mountSpeak(panel("speak"), app);
mountCompare(panel("compare"), app);
mountVoices(panel("voices"), app);
mountServer(panel("server"), app);
const connection = mountConnection(app);
mountKeyForm(app, connection.connect);
