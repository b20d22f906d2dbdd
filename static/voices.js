// The panel of voices and of the samples they are made of.

import { Notice, Refusal } from "/static/notice.js";
import { Recorder } from "/static/recorder.js";
import { Sample } from "/static/sample.js";
import { Sound } from "/static/sound.js";

const NO_RECORDING = /^(text|image|font|model)\/|^application\/(json|pdf|xml|zip)/u; // by what its name says it is
const view = (id) => document.getElementById(id);

export class VoicesPanel extends EventTarget {
  #api;
  #sound = new Sound();
  #sample;
  #recorder = new Recorder();
  #reading = 0; // of the lists; only the last counts
  #voices = [];
  #readNotice = new Notice(view("voices-notice"));
  #voiceNotice = new Notice(view("voice-list-notice"));
  #sampleNotice = new Notice(view("sample-list-notice"));
  #newNotice = new Notice(view("new-sample-notice"));

  constructor(api) {
    super();
    this.#api = api;
    this.#sample = new Sample(api, this.#sound);
    this.#sample.addEventListener("changed", ({ detail }) => {
      this.#newNotice.say(""); // of a recording that has been uploaded
      this.refresh(detail.chosen);
    });
    this.#sound.addEventListener("start", () => this.dispatchEvent(new Event("sound")));
    view("voices-panel").addEventListener("toggle", () => this.#opened());
    view("sample-file").addEventListener("change", ({ target }) => {
      if (target.files.length) this.#take(target.files[0]);
      target.value = ""; // so that the same file can be chosen again
    });
    view("record").addEventListener("click", () => this.#record());
    this.#recorder.addEventListener("level", ({ detail }) => this.#showLevel(detail));
    this.#recorder.addEventListener("recorded", ({ detail }) => this.#recorded(detail));
    this.#receiveDrops(view("voices-panel"));
  }

  // Reads what there is again, where anybody looks. `chosen`: the voice to speak with from now on.
  async refresh(chosen = null) {
    if (!view("voices-panel").open) return;
    const reading = ++this.#reading;
    try {
      const [{ voices }, samples] = await Promise.all(
        ["/voices", "/audio_prompts/metadata"].map((path) => this.#api.get(path)),
      );
      if (reading !== this.#reading) return;
      this.#show(voices, samples, chosen);
      this.#readNotice.say("");
    } catch (error) {
      this.#readNotice.complain(error);
    }
  }

  // Somebody else is to be heard.
  hush() {
    this.#sound.stop();
  }

  #opened() {
    if (view("voices-panel").open) {
      this.refresh();
    } else {
      this.#sound.stop();
      this.#recorder.stop();
    }
  }

  #show(voices, samples, chosen) {
    this.#voices = voices;
    this.#sample.know(samples, voices);
    const shared = repeated(voices.flatMap(({ warnings }) => warnings));
    view("shared-warnings").replaceChildren(...shared.map((warning) => element("li", warning)));
    this.#fill(view("voice-list"), voices.map((voice) => this.#voiceEntry(voice, shared)));
    this.#fill(view("sample-list"), Object.values(samples).map((sample) => this.#sampleEntry(sample)));
    view("no-samples").hidden = Object.keys(samples).length > 0;
    this.dispatchEvent(new CustomEvent("voices", { detail: { voices, chosen } }));
  }

  // New entries; the keyboard stays where it was, as far as that is still there.
  #fill(list, entries) {
    const held = list.contains(document.activeElement) ? document.activeElement.textContent : null;
    this.#sound.stopWithin(list);
    list.replaceChildren(...entries);
    if (held === null) return;
    const again = [...list.querySelectorAll("button")].find((button) => button.textContent === held);
    (again ?? view(list.getAttribute("aria-labelledby"))).focus();
  }

  // shared: warnings that are shown already, for all that they are true of.
  #voiceEntry(voice, shared) {
    const made = voice.audio_prompt ? `from the sample “${voice.audio_prompt}”` : voice.builtin ? "built-in" : "your own";
    const preview = button("Preview", voice.name);
    preview.addEventListener("click", () => this.#preview(preview, voice));
    const actions = [preview];
    if (!voice.builtin) {
      const remove = button("Delete", voice.name);
      remove.addEventListener("click", () => this.#askAboutVoice(item, voice));
      actions.push(remove);
    }
    const warnings = voice.warnings.filter((warning) => !shared.includes(warning));
    const item = entry(voice.name, `${voice.style}, ${made}`, warnings, actions);
    return item;
  }

  #sampleEntry(sample) {
    const { prompt_id: id, duration, transcript } = sample;
    const open = button("Open", id);
    open.addEventListener("click", () => this.#openSample(open, id));
    const remove = button("Delete", id);
    remove.addEventListener("click", () => this.#askAboutSample(item, id));
    const facts = `${duration.toFixed(1)} s, ${transcript ? "with a transcript" : "no transcript"}`;
    const item = entry(id, facts, sample.exists ? [] : ["The file is gone: upload it again."], [open, remove]);
    return item;
  }

  async #preview(control, { id, name }) {
    this.#voiceNotice.say("");
    try {
      await this.#sound.toggle(control, async () => {
        this.#voiceNotice.say(`${name} is about to speak…`);
        const bytes = await this.#api.bytes(`/preview/${encodeURIComponent(id)}`);
        this.#voiceNotice.say("");
        return this.#sound.decode(bytes);
      });
    } catch (error) {
      this.#voiceNotice.complain(error);
    }
  }

  async #openSample(control, id) {
    await this.#sampleNotice.attempt(control, async () => {
      this.#sample.open(await this.#api.get(`/audio_prompts/metadata/${encodeURIComponent(id)}`));
      this.#sampleNotice.say("");
      view("sample-title").focus();
    });
  }

  // Taking away.

  #askAboutVoice(item, voice) {
    const choices = { Delete: () => this.#deleteVoice(voice) };
    if (voice.audio_prompt) choices["Delete with its sample"] = () => this.#deleteVoice(voice, { withSample: true });
    ask(item, `Delete the voice “${voice.name}”?`, choices, this.#voiceNotice);
  }

  async #deleteVoice({ id, name, audio_prompt: sample }, { withSample = false } = {}) {
    await this.#api.send("DELETE", `/voice_mappings/${encodeURIComponent(id)}`);
    const message = `The voice “${name}” was deleted.`;
    this.#voiceNotice.say(message);
    await this.refresh();
    view("voice-list-title").focus();
    if (!withSample) return;
    try {
      await this.#deleteSample(sample);
    } catch (error) {
      if (error.code !== "in_use") throw error;
      this.#voiceNotice.say(`${message} Its sample stays: other voices use it.`);
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

  // The voices that use it are named: without it they speak on, but as a voice that comes with the server.
  #askAgain(id, { message }) {
    const users = this.#voices.filter((voice) => voice.audio_prompt === id).map(({ name }) => `“${name}”`);
    const item = [...view("sample-list").children].find((one) => one.dataset.name === id);
    if (!users.length || !item) throw new Refusal(message);
    const question = `The sample “${id}” is in use by ${users.join(", ")}, which would lose it and sound different.`;
    const remove = async () => {
      await this.#deleteSample(id, "?force=true");
      view("sample-list-title").focus();
    };
    ask(item, question, { "Delete anyway": remove }, this.#sampleNotice);
  }

  async #deleteSample(id, query = "") {
    const { message } = await this.#api.send("DELETE", `/audio_prompts/${encodeURIComponent(id)}${query}`);
    if (this.#sample.id === id) {
      this.#sound.stop();
      this.#sample.close();
    }
    await this.refresh();
    this.#sampleNotice.say(message);
  }

  // A new sample.

  #take(file) {
    view("voices-panel").open = true;
    if (NO_RECORDING.test(file.type)) {
      this.#newNotice.complain(new Refusal(`“${file.name}” is no recording: choose a wav, aiff, caf, mp3, flac, ogg, opus, m4a, aac, webm, amr or wma file.`));
      return;
    }
    this.#newNotice.say("");
    this.#sample.draft(file);
  }

  #receiveDrops(zone) {
    zone.addEventListener("dragover", (event) => {
      if (!event.dataTransfer.types.includes("Files")) return; // words may be dragged about
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
    this.#sound.stop();
    this.dispatchEvent(new Event("sound")); // what is spoken would be recorded too
    await this.#newNotice.attempt(view("record"), () => this.#recorder.start());
    if (!this.#recorder.recording) return;
    this.#newNotice.say("Recording: speak now.");
    view("record").textContent = "Stop recording";
    view("recording").hidden = false;
  }

  #showLevel({ seconds, level }) {
    view("record-time").textContent = `${seconds.toFixed(1)} s`;
    view("record-level").value = level;
  }

  #recorded({ file, seconds }) {
    view("record").textContent = "Record";
    view("recording").hidden = true;
    this.#sample.draft(file); // without opening the panel: closing it may have been what ended the recording
    this.#newNotice.say(`Recorded ${seconds.toFixed(1)} s: listen to it, then upload it.`);
  }
}

// What stands in a list more than once.
function repeated(sentences) {
  return [...new Set(sentences.filter((sentence, at) => sentences.indexOf(sentence) < at))];
}

function entry(name, facts, warnings, actions) {
  const about = element("p", element("strong", name), " ", element("span", facts));
  const line = element("div", about, element("div", ...actions));
  line.className = "entry";
  line.lastChild.className = "actions";
  const item = element("li", line);
  item.dataset.name = name;
  if (warnings.length) {
    item.append(element("ul", ...warnings.map((warning) => element("li", warning))));
    item.lastChild.className = "warnings";
  }
  return item;
}

// A question in the place of an entry's buttons, which come back when it is answered.
function ask(item, question, choices, notice) {
  item.querySelector(".asked")?.remove();
  const actions = item.querySelector(".actions");
  const asked = element("div", element("p", question));
  asked.className = "asked actions";
  asked.firstChild.className = "question";
  asked.setAttribute("role", "group");
  asked.setAttribute("aria-label", question);
  const back = () => {
    asked.remove();
    actions.hidden = false;
    actions.lastChild.focus();
  };
  for (const [label, act] of Object.entries(choices)) {
    const choice = button(label);
    choice.addEventListener("click", async () => {
      if (!(await notice.attempt(choice, act))) back();
    });
    asked.append(choice);
  }
  const keep = button("Keep");
  keep.addEventListener("click", back);
  asked.addEventListener("keydown", ({ key }) => {
    if (key === "Escape") back();
  });
  asked.append(keep);
  actions.hidden = true;
  actions.after(asked);
  keep.focus();
}

function button(label, of = "") {
  const control = element("button", label);
  control.type = "button";
  if (of) {
    control.append(element("span", ` ${of}`));
    control.lastChild.className = "unseen";
  }
  return control;
}

function element(tag, ...children) {
  const one = document.createElement(tag);
  one.append(...children);
  return one;
}
