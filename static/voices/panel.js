// @ts-check
// The Voices tab: the voices, voice samples to make more of them, and how words are read.

import { Sound } from "../audio/sound.js";
import { receiveDrops } from "../lib/drop-zone.js";
import { byId } from "../lib/element.js";
import { Notice } from "../lib/notice.js";
import { UserError } from "../lib/user-error.js";
import { changeSettings } from "../state.js";
import { mountPronunciations } from "./pronunciations.js";
import { Recorder } from "./recorder.js";
import { SampleList } from "./sample-list.js";
import { Sample } from "./sample.js";
import { VoiceList } from "./voice-list.js";

const NO_RECORDING = /^(text|image|font|model)\/|^application\/(json|pdf|xml|zip)/u; // types that are certainly not audio

/** @param {HTMLElement} panel @param {App} app */
export function mount(panel, app) {
  const { store, api, focus, speech } = app;
  const sound = new Sound(focus);
  const sample = new Sample(api, sound);
  const sampleList = new SampleList(api, sound, sample, refresh);
  const voiceList = new VoiceList(app, sound, sampleList, refresh);
  const notice = new Notice(byId("voices-notice"));
  let reading = 0; // number of the latest refresh; earlier ones are ignored

  const takeFile = mountNewSample(app, sample);
  receiveDrops(panel, takeFile);
  mountPronunciations(app, sound);

  sample.on("changed", async ({ chosen }) => {
    await refresh();
    if (chosen) changeSettings(store, { voice: chosen });
  });
  byId("use-made").addEventListener("click", () => voiceList.use(sample.made));
  store.watch(["tab"], ({ tab }) => (tab === "voices" ? refresh() : sound.stop()));
  speech.on("ready", refresh);
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
      sample.setKnown(samples, voices);
      voiceList.show(voices);
      sampleList.show(Object.values(samples), voices);
      store.set({ voices });
      notice.say("");
    } catch (error) {
      notice.showError(error);
    }
  }
}

/**
 * Mount recording and the file chooser. Return a function that accepts a file.
 * @param {App} app
 * @param {Sample} sample
 */
function mountNewSample({ store, focus }, sample) {
  const recorder = new Recorder();
  const notice = new Notice(byId("new-sample-notice"));
  const file = byId("sample-file");
  const record = byId("record");
  const level = byId("record-level");

  file.addEventListener("change", () => {
    if (file.files?.length) take(file.files[0]);
    file.value = ""; // allow choosing the same file again
  });
  record.addEventListener("click", () => (recorder.recording ? recorder.stop() : start()));
  recorder.on("level", ({ seconds, level: peak }) => {
    byId("record-time").textContent = `${seconds.toFixed(1)} s`;
    level.value = peak;
  });
  recorder.on("recorded", ({ file: recorded, seconds }) => {
    show(false);
    sample.draft(recorded);
    notice.say(`Recorded ${seconds.toFixed(1)} s. Check it, then upload it.`);
  });
  recorder.on("failed", (error) => {
    show(false);
    notice.showError(error);
  });
  sample.on("changed", () => notice.say("")); // the recording has been uploaded
  store.watch(["tab"], ({ tab }) => tab === "voices" || recorder.stop());

  async function start() {
    focus.take(recorder, () => recorder.stop()); // stops other sound, which would be recorded
    await notice.attempt(record, () => recorder.start());
    show(recorder.recording);
    if (recorder.recording) notice.say("Recording. Speak now.");
  }

  /** @param {boolean} recording */
  function show(recording) {
    if (!recording) focus.release(recorder);
    record.textContent = recording ? "Stop recording" : "Record";
    byId("recording").hidden = !recording;
  }

  /** @param {File} given */
  function take(given) {
    if (NO_RECORDING.test(given.type)) {
      notice.showError(new UserError(`“${given.name}” is not an audio file; choose a wav, aiff, caf, mp3, flac, ogg, opus, m4a, aac, webm, amr or wma file.`));
      return;
    }
    notice.say("");
    sample.draft(given);
  }

  return take;
}
