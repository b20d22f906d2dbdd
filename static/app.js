// @ts-check
// The page: creates what the panels share, and mounts them.

import { Player } from "./audio/player.js";
import { Api } from "./lib/api.js";
import { AudioFocus } from "./lib/audio-focus.js";
import { Channel } from "./lib/channel.js";
import { byId } from "./lib/element.js";
import { Key } from "./lib/key.js";
import { Picker } from "./lib/picker.js";
import { mountConnection } from "./shell/connection.js";
import { mountKeyForm } from "./shell/key-form.js";
import { mountLater } from "./shell/later-panels.js";
import { mountTabs } from "./shell/tabs.js";
import { Toast } from "./shell/toast.js";
import { mount as mountSpeak } from "./speak/panel.js";
import { VoicePreview } from "./speak/voice-preview.js";
import { keepChanges, restored } from "./speak/settings-keeper.js";
import { Contexts } from "./speech/contexts.js";
import { Speaker } from "./speech/speaker.js";
import { createStore } from "./state.js";

const key = new Key();
const store = createStore(restored());
const speakChannel = new Channel("ws/speak", key);

export const app = /** @type {App} */ ({
  store,
  key,
  speakChannel,
  api: new Api(key),
  status: new Channel("ws/status", key),
  toast: new Toast(byId("toast")),
  focus: new AudioFocus(),
  picker: new Picker(),
  player: new Player(),
  contexts: new Contexts({ speakChannel, store }),
});
app.speaker = new Speaker(app);
app.voicePreview = new VoicePreview(app);

keepChanges(store);
mountTabs(app);
mountSpeak(byId("speak"), app);
mountLater(app, {
  compare: () => import("./compare/panel.js"),
  voices: () => import("./voices/panel.js"),
  server: () => import("./server/panel.js"),
});
const connection = mountConnection(app);
mountKeyForm(app, connection.connect);
