// @ts-check
// The page: creates what the panels share, and mounts them.

import { Player } from "./audio/player.js";
import { Api } from "./lib/api.js";
import { AudioFocus } from "./lib/audio-focus.js";
import { Channel } from "./lib/channel.js";
import { Key } from "./lib/key.js";
import { Picker } from "./lib/picker.js";
import { mountConnection } from "./shell/connection.js";
import { mountKeyForm } from "./shell/key-form.js";
import { mountLater } from "./shell/later-panels.js";
import { mountTabs } from "./shell/tabs.js";
import { Toast } from "./shell/toast.js";
import { mount as mountSpeak } from "./speak/panel.js";
import { Sampler } from "./speak/sampler.js";
import { keepChanges, restored } from "./speak/settings-keeper.js";
import { Contexts } from "./speech/contexts.js";
import { Speaker } from "./speech/speaker.js";
import { createStore } from "./state.js";

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
mountLater(app, {
  compare: () => import("./compare/panel.js"),
  voices: () => import("./voices/panel.js"),
  server: () => import("./server/panel.js"),
});
const connection = mountConnection(app);
mountKeyForm(app, connection.connect);
