// @ts-check
// The Voices tab: the voices, voice samples to make more of them, and how words are read.

import { Sound } from "../audio/sound.js";
import { receiveDrops } from "../lib/drop-zone.js";
import { byId } from "../lib/element.js";
import { Notice } from "../lib/notice.js";
import { changeSettings } from "../state.js";
import { NewVoiceSample } from "./new-voice-sample.js";
import { Pronunciations } from "./pronunciations.js";
import { VoiceList } from "./voice-list.js";
import { VoiceSampleEditor } from "./voice-sample-editor.js";
import { VoiceSampleList } from "./voice-sample-list.js";

/** @param {HTMLElement} panel @param {App} app */
export function mount(panel, app) {
  const { store, api, focus, speakChannel } = app;
  const sound = new Sound(focus);
  const editor = new VoiceSampleEditor(api, sound);
  const voiceSampleList = new VoiceSampleList(api, sound, editor, refresh);
  const voiceList = new VoiceList(app, sound, voiceSampleList, refresh);
  const newVoiceSample = new NewVoiceSample(app, editor);
  const notice = new Notice(byId("voices-notice"));
  let reading = 0; // number of the latest refresh; earlier ones are ignored

  receiveDrops(panel, (file) => newVoiceSample.accept(file));
  new Pronunciations(app, sound);

  editor.on("changed", async ({ chosen }) => {
    await refresh();
    if (chosen) changeSettings(store, { voice: chosen });
  });
  byId("use-made").addEventListener("click", () => voiceList.use(editor.made));
  store.watch(["tab"], ({ tab }) => (tab === "voices" ? refresh() : sound.stop()));
  speakChannel.on("ready", refresh);
  document.addEventListener("keydown", ({ key, isComposing, defaultPrevented }) => {
    if (key === "Escape" && !isComposing && !defaultPrevented) sound.stop();
  });

  // Reads the lists anew if the tab is open.
  async function refresh() {
    if (store.state.tab !== "voices") return;
    const mine = ++reading;
    try {
      const [{ voices }, samples] = await Promise.all([api.get("voices"), api.get("audio_prompts/metadata")]);
      if (mine !== reading) return;
      editor.setKnown(samples, voices);
      voiceList.show(voices);
      voiceSampleList.show(Object.values(samples), voices);
      store.set({ voices });
      notice.say("");
    } catch (error) {
      notice.showError(error);
    }
  }
}
