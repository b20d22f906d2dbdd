// The Voices tab: the voices, and voice samples to make more of them.

import { byId as view, element } from "../lib/element.js";
import { Notice, Refusal } from "../lib/notice.js";
import { mountPronunciations } from "./pronunciations.js";
import { ask, button } from "./question.js";
import { Recorder } from "./recorder.js";
import { Sample } from "./sample.js";
import { Sound } from "../audio/sound.js";

const NO_RECORDING = /^(text|image|font|model)\/|^application\/(json|pdf|xml|zip)/u; // types that are certainly not audio

/**
 * @param {HTMLElement} _panel
 * @param {import("../app.js").App} app
 */
export function mount(_panel, app) {
  const panel = new VoicesPanel(app);
  app.store.watch(["tab"], ({ tab }) => (tab === "voices" ? panel.refresh() : panel.leave()));
  app.speech.addEventListener("ready", () => panel.refresh());
  document.addEventListener("keydown", ({ key, isComposing, defaultPrevented }) => {
    if (key === "Escape" && !isComposing && !defaultPrevented) panel.stopSound();
  });
  mountPronunciations(app, panel.sound);
}

class VoicesPanel {
  #app;
  #api;
  sound = new Sound();
  #sample;
  #recorder = new Recorder();
  #reading = 0; // number of the latest refresh; earlier ones are ignored
  #voices = [];
  #readNotice = new Notice(view("voices-notice"));
  #voiceNotice = new Notice(view("voice-list-notice"));
  #sampleNotice = new Notice(view("sample-list-notice"));
  #newNotice = new Notice(view("new-sample-notice"));

  constructor(app) {
    this.#app = app;
    this.#api = app.api;
    this.#sample = new Sample(this.#api, this.sound);
    this.#sample.addEventListener("changed", ({ detail }) => {
      this.#newNotice.say(""); // clears the notice about a recording
      this.refresh(detail.chosen);
    });
    this.sound.addEventListener("start", () => app.focus.take(this.sound, () => this.sound.stop()));
    this.sound.addEventListener("end", () => app.focus.release(this.sound));
    view("sample-file").addEventListener("change", ({ target }) => {
      if (target.files.length) this.#take(target.files[0]);
      target.value = ""; // allow choosing the same file again
    });
    view("record").addEventListener("click", () => this.#record());
    this.#recorder.addEventListener("level", ({ detail }) => this.#showLevel(detail));
    this.#recorder.addEventListener("recorded", ({ detail }) => this.#recorded(detail));
    this.#recorder.addEventListener("failed", ({ detail }) => {
      this.#notRecording();
      this.#newNotice.showError(detail);
    });
    view("use-made").addEventListener("click", () => this.#use(app.store.state.chosenVoice));
    this.#receiveDrops(view("voices"));
  }

  // Reloads the lists if the tab is open. chosen: id of the voice to select.
  async refresh(chosen = null) {
    if (this.#app.store.state.tab !== "voices") return;
    const reading = ++this.#reading;
    try {
      const [{ voices }, samples] = await Promise.all(
        ["voices", "audio_prompts/metadata"].map((path) => this.#api.get(path)),
      );
      if (reading !== this.#reading) return;
      this.#show(voices, samples, chosen);
      this.#readNotice.say("");
    } catch (error) {
      this.#readNotice.showError(error);
    }
  }

  // Stops any preview or sample that is playing.
  stopSound() {
    this.sound.stop();
  }

  // Stops sound and recording when another tab is shown.
  leave() {
    this.sound.stop();
    this.#recorder.stop();
  }

  #show(voices, samples, chosen) {
    this.#voices = voices;
    this.#sample.setKnown(samples, voices);
    const shared = repeated(voices.flatMap(({ warnings }) => warnings));
    view("shared-warnings").replaceChildren(...shared.map((warning) => element("li", {}, warning)));
    this.#fill(view("voice-list"), voices.map((voice) => this.#voiceEntry(voice, shared)));
    this.#fill(view("sample-list"), Object.values(samples).map((sample) => this.#sampleEntry(sample)));
    view("no-samples").hidden = Object.keys(samples).length > 0;
    this.#app.store.set({ voices });
    if (chosen) this.#app.store.set({ chosenVoice: chosen });
  }

  // Replaces the entries, keeping the focus on the same control if it still exists.
  #fill(list, entries) {
    const held = list.contains(document.activeElement) ? document.activeElement.textContent : null;
    this.sound.stopWithin(list);
    list.replaceChildren(...entries);
    if (held === null) return;
    const again = [...list.querySelectorAll("button")].find((button) => button.textContent === held);
    (again ?? view(list.getAttribute("aria-labelledby"))).focus();
  }

  // shared: warnings of several voices, shown above the list.
  #voiceEntry(voice, shared) {
    const made = voice.audio_prompt ? `from the sample “${voice.audio_prompt}”` : voice.builtin ? "built-in" : "your own";
    const preview = button("Preview", voice.name);
    preview.addEventListener("click", () => this.#preview(preview, voice));
    const use = button("Use this voice", voice.name);
    use.addEventListener("click", () => this.#use(voice.id));
    const actions = [preview, use];
    if (!voice.builtin) {
      const remove = button("Delete", voice.name);
      remove.addEventListener("click", () => this.#askAboutVoice(item, voice));
      actions.push(remove);
    }
    const warnings = voice.warnings.filter((warning) => !shared.includes(warning));
    const item = entry(voice.name, `${voice.style}, ${made}`, warnings, actions);
    return item;
  }

  // Goes on in the Speak tab with a voice.
  #use(id) {
    this.#app.store.set({ chosenVoice: null }); // it may have been chosen before, and another one in the Speak tab since
    this.#app.store.set({ chosenVoice: id, tab: "speak" });
    view("speak-tab").focus();
  }

  #sampleEntry(sample) {
    const { prompt_id: id, duration, transcript } = sample;
    const open = button("Open", id);
    open.addEventListener("click", () => this.#openSample(open, id));
    const remove = button("Delete", id);
    remove.addEventListener("click", () => this.#askAboutSample(item, id));
    const facts = `${duration.toFixed(1)} s, ${transcript ? "with a transcript" : "no transcript"}`;
    const item = entry(id, facts, sample.exists ? [] : ["The file is missing; upload it again."], [open, remove]);
    return item;
  }

  async #preview(control, { id, name }) {
    this.#voiceNotice.say("");
    try {
      await this.sound.toggle(control, async () => {
        this.#voiceNotice.say(`Loading the preview of ${name}…`);
        const bytes = await this.#api.bytes(`preview/${encodeURIComponent(id)}`);
        this.#voiceNotice.say("");
        return this.sound.decode(bytes);
      });
    } catch (error) {
      this.#voiceNotice.showError(error);
    }
  }

  async #openSample(control, id) {
    await this.#sampleNotice.attempt(control, async () => {
      this.#sample.open(await this.#api.get(`audio_prompts/metadata/${encodeURIComponent(id)}`));
      this.#sampleNotice.say("");
      view("sample-title").focus();
    });
  }

  // Deletion.

  #askAboutVoice(item, voice) {
    const choices = { Delete: () => this.#deleteVoice(voice) };
    if (voice.audio_prompt) choices["Delete with its sample"] = () => this.#deleteVoice(voice, { withSample: true });
    ask(item, `Delete the voice “${voice.name}”?`, choices, this.#voiceNotice);
  }

  async #deleteVoice({ id, name, audio_prompt: sample }, { withSample = false } = {}) {
    await this.#api.send("DELETE", `voice_mappings/${encodeURIComponent(id)}`);
    const message = `The voice “${name}” was deleted.`;
    this.#voiceNotice.say(message);
    await this.refresh();
    view("voice-list-title").focus();
    if (!withSample) return;
    try {
      await this.#deleteSample(sample);
    } catch (error) {
      if (error.code !== "in_use") throw error;
      this.#voiceNotice.say(`${message} Its sample was kept because other voices use it.`);
    }
  }

  #askAboutSample(item, id) {
    const remove = async () => {
      try {
        await this.#deleteSample(id);
        view("sample-list-title").focus();
      } catch (error) {
        if (error.code !== "in_use") throw error;
        await this.refresh();
        this.#askAgain(id, error);
      }
    };
    ask(item, `Delete the sample “${id}”?`, { Delete: remove }, this.#sampleNotice);
  }

  // Names the voices that use the sample; without it they speak with a built-in voice.
  #askAgain(id, { message }) {
    const users = this.#voices.filter((voice) => voice.audio_prompt === id).map(({ name }) => `“${name}”`);
    const item = [...view("sample-list").children].find((one) => one.dataset.name === id);
    if (!users.length || !item) throw new Refusal(message);
    const question = `The sample “${id}” is in use by ${users.join(", ")}, which will sound different without it.`;
    const remove = async () => {
      await this.#deleteSample(id, "?force=true");
      view("sample-list-title").focus();
    };
    ask(item, question, { "Delete anyway": remove }, this.#sampleNotice);
  }

  async #deleteSample(id, query = "") {
    const { message } = await this.#api.send("DELETE", `audio_prompts/${encodeURIComponent(id)}${query}`);
    if (this.#sample.id === id) {
      this.sound.stop();
      this.#sample.close();
    }
    await this.refresh();
    this.#sampleNotice.say(message);
  }

  // New samples.

  #take(file) {
    if (NO_RECORDING.test(file.type)) {
      this.#newNotice.showError(new Refusal(`“${file.name}” is not an audio file; choose a wav, aiff, caf, mp3, flac, ogg, opus, m4a, aac, webm, amr or wma file.`));
      return;
    }
    this.#newNotice.say("");
    this.#sample.draft(file);
  }

  #receiveDrops(zone) {
    zone.addEventListener("dragover", (event) => {
      if (!event.dataTransfer.types.includes("Files")) return; // ignore dragged text
      event.preventDefault();
      zone.classList.add("over");
    });
    zone.addEventListener("dragleave", () => zone.classList.remove("over"));
    zone.addEventListener("drop", (event) => {
      if (!event.dataTransfer.files.length) return;
      event.preventDefault();
      zone.classList.remove("over");
      this.#take(event.dataTransfer.files[0]);
    });
  }

  async #record() {
    if (this.#recorder.recording) {
      this.#recorder.stop();
      return;
    }
    this.#app.focus.take(this.#recorder, () => this.#recorder.stop()); // stops any sound, which would be recorded too
    await this.#newNotice.attempt(view("record"), () => this.#recorder.start());
    if (!this.#recorder.recording) return;
    this.#newNotice.say("Recording. Speak now.");
    view("record").textContent = "Stop recording";
    view("recording").hidden = false;
  }

  #showLevel({ seconds, level }) {
    view("record-time").textContent = `${seconds.toFixed(1)} s`;
    view("record-level").value = level;
  }

  #notRecording() {
    this.#app.focus.release(this.#recorder);
    view("record").textContent = "Record";
    view("recording").hidden = true;
  }

  #recorded({ file, seconds }) {
    this.#notRecording();
    this.#sample.draft(file); // does not open the panel, as closing it may have ended the recording
    this.#newNotice.say(`Recorded ${seconds.toFixed(1)} s. Check it, then upload it.`);
  }
}

// Returns the items that occur more than once.
function repeated(sentences) {
  return [...new Set(sentences.filter((sentence, at) => sentences.indexOf(sentence) < at))];
}

function entry(name, facts, warnings, actions) {
  const about = element("p", {}, element("strong", {}, name), " ", element("span", {}, facts));
  const line = element("div", { className: "entry" }, about, element("div", { className: "actions" }, ...actions));
  const item = element("li", {}, line);
  item.dataset.name = name;
  const list = warnings.map((warning) => element("li", {}, warning));
  if (list.length) item.append(element("ul", { className: "warnings" }, ...list));
  return item;
}
