// Types of the page that several of its scripts name. The browser never loads this file.

type Api = import("../../static/lib/api.js").Api;
type AudioFocus = import("../../static/lib/audio-focus.js").AudioFocus;
type Channel = import("../../static/lib/channel.js").Channel;
type Charts = import("../../static/server/charts.js").Charts;
type ComparedTakes = import("../../static/compare/takes.js").ComparedTakes;
type Context = import("../../static/speech/context.js").Context;
type Contexts = import("../../static/speech/contexts.js").Contexts;
type Controls = import("../../static/speak/controls.js").Controls;
type Key = import("../../static/lib/key.js").Key;
type Notice = import("../../static/lib/notice.js").Notice;
type Picker = import("../../static/lib/picker.js").Picker;
type Player = import("../../static/audio/player.js").Player;
type Reader = import("../../static/speak/reader.js").Reader;
type VoiceSampleEditor = import("../../static/voices/voice-sample-editor.js").VoiceSampleEditor;
type VoiceSampleList = import("../../static/voices/voice-sample-list.js").VoiceSampleList;
type VoicePreview = import("../../static/speak/voice-preview.js").VoicePreview;
type Sound = import("../../static/audio/sound.js").Sound;
type Speaker = import("../../static/speech/speaker.js").Speaker;
type Take = import("../../static/take/take.js").Take;
type TakeStore = import("../../static/speak/take-store.js").TakeStore;
type Timeline = import("../../static/server/timeline.js").Timeline;
type Toast = import("../../static/shell/toast.js").Toast;

type Transcript = import("../../static/voices/transcript.js").Transcript;
type Timer = ReturnType<typeof setTimeout>;

type Store<State extends object> = import("../../static/lib/store.js").Store<State>;

// app.js

/** Objects that the panels share. */
interface App {
  /** What the page knows. */
  store: Store<State>;
  key: Key;
  /** The server's HTTP routes. */
  api: Api;
  /** The websocket that speaks. */
  speakChannel: Channel;
  /** The websocket that reports the server's state. */
  status: Channel;
  /** Short messages to the user. */
  toast: Toast;
  /** One sound at a time. */
  focus: AudioFocus;
  /** The dialog to pick voices and languages from. */
  picker: Picker;
  /** Plays a take. */
  player: Player;
  /** What the server is speaking for this page. */
  contexts: Contexts;
  /** Keeps the player supplied. */
  speaker: Speaker;
  /** Plays a voice, for choosing one. */
  voicePreview: VoicePreview;
}

// audio/clock.js

interface AudioClocks {
  /** performance.now() */
  now: number;
  /** Milliseconds since the worklet sent the message. */
  delay: number;
  /** Of the audio context, in seconds. */
  currentTime: number;
  /** Seconds from leaving the worklet until heard. */
  latency: number;
  /** Of the output; the browser may know none. */
  stamp: AudioTimestamp;
}

// audio/player.js

type PlayerState = "paused" | "waiting" | "playing" | "ended";

// audio/sound.js

/** The recording being loaded or played. */
interface Playing {
  button: HTMLButtonElement;
  /** Of the button before. */
  label: string;
  moved: (position: number | null) => void;
  source: AudioBufferSourceNode | null;
  frame: number;
}

// compare/takes.js

/** A take, and what fills it first. */
type Asked = { take: Take, context: Context };

// lib/picker.js

interface Choice {
  id: string;
  name: string;
  about?: string;
  /** Shown as a heading where it begins. */
  group?: string;
}

interface Picking {
  title: string;
  choices: Choice[];
  /** Ids; read again after each choice. */
  picked: string[];
  /** Called with the choice, picked before or not. */
  pick: (id: string) => void;
  /** Whether several may be picked; the dialog then stays open. */
  several?: boolean;
  /** Plays a choice. */
  preview?: (choice: Choice, button: HTMLButtonElement) => void;
}

// player/waveform.js

type Played = { readonly take: Take | null, readonly position: number, seek: (sample: number) => void };

// server/devices.js

interface Device {
  id: string;
  name: string;
  worker: { state: string, restarts: number, active: number, queued: number, slots: number };
  memory: { used: number, total: number, model: number | null, slots: number | null, pressure: number, level: string };
}

// server/load-test.js

interface LoadTake {
  voice: string;
  /** Milliseconds from the request to the first sound. */
  first: number | null;
  /** Milliseconds from the request to the end. */
  end: number | null;
  /** Seconds of sound that have arrived. */
  audioS: number;
  /** Why it failed; empty if it did not. */
  error: string;
}

// server/plots.js

interface Series {
  label: string;
  /** Names of columns, which are added up. */
  columns: string[];
  /** Lengths of dashes and gaps; none is a solid line. */
  dash: number[];
  /** Whether the area below is tinted. */
  filled?: boolean;
}

interface Plot {
  id: string;
  title: string;
  series: Series[];
  format: (value: number) => string;
  /** The value that the top of the chart is never below. */
  least: number;
  /** The value at the top of the chart; null follows the data. */
  most: number | null;
  /** Lines across the chart. */
  limits: { at: number, label: string }[];
  /** Whether the values are whole numbers. */
  whole: boolean;
  /** Whether values are mostly alone, without others before and after. */
  points: boolean;
}

// server/timeline.js

/** The answer of the server to `history`; see `/status/history` in its API. */
interface StatusHistory {
  step_s: number;
  /** Seconds since 1970. */
  started_at: number;
  uptime_s: number;
  /** Seconds since the server started. */
  at: number[];
  first_audio_ms: { p50: Column, p95: Column, p99: Column };
  contexts: Column;
  queued: Column;
  connections: Column;
  devices: Record<string, { pressure: Column, model: Column, slots: Column }>;
  events: { at: number, event: string, device?: string }[];
}

type Column = (number | null)[];

/** At: seconds since 1970. */
type ServerEvent = { at: number, event: string, device: string | null };

// shell/toast.js

type ToastOptions = { kind?: "info" | "error", action?: { label: string, act: () => void }, lasting?: boolean };

// speak/take-store.js

/** What the list shows of a take. */
interface HistoryEntry {
  id: number;
  text: string;
  settings: Settings;
  seconds: number;
  bytes: number;
  /** When it was kept, by Date.now(). */
  at: number;
}

// speech/context.js

type Ending = "done" | "cancelled" | "error" | "lost";

// state.js

interface Voice {
  id: string;
  name: string;
  style: string;
}

/** The server's greeting. */
interface Ready {
  engine: string;
  notice: string | null;
  /** Of a second of speech. */
  cost: "low" | "high";
  sample_rate: number;
  sample_rates: number[];
  languages: string[];
  /** Options of speech that this engine uses. */
  options: string[];
  voices: Voice[];
  limits: { contexts: number, parallel_contexts: number, message_bytes: number, text_characters: number, context_characters: number, messages_per_second: number, max_lead_ms: number };
}

interface State {
  /** Id of the shown tab; written by shell/tabs.js. */
  tab: string;
  /** By shell/connection.js. */
  connection: "connecting" | "online" | "offline" | "locked";
  /** The last greeting, kept while offline; by shell/connection.js. */
  ready: Ready | null;
  /** By shell/connection.js from the greeting, and by the Voices panel after changes. */
  voices: Voice[];
  /** By speak/panel.js. */
  text: string;
  /** By whatever the user changes them with, through `changeSettings`. */
  settings: PageSettings;
  /** The last status message, null while offline; by shell/connection.js. */
  status: any;
}

// take/marks.js

/** A sentence or a word. */
interface Mark {
  /** Code point offset in the text. */
  start: number;
  end: number;
  /** First sample. */
  at: number;
  /** Sample after the last one; Infinity while it is not known. */
  endAt: number;
}

// take/settings.js

interface PageSettings {
  /** "" for the server's first. */
  voice: string;
  /** A tag, or "auto". */
  language: string;
  speed: number;
  pitch: number;
  /** The engine's own. */
  options: Record<string, number>;
  /** Whether the text is sent as a language model writes. */
  tokens: boolean;
  /** Tokens per second. */
  rate: number;
  /** 0 to 1. */
  volume: number;
  loop: boolean;
  /** Ids of the voices to compare. */
  compared: string[];
  recentLanguages: string[];
}

// take/snippets.js

interface SpeechRequest {
  text: string;
  settings: Settings;
  /** Of the server, with a slash at the end. */
  address: string;
  /** Whether the server requires a key. */
  locked: boolean;
}

type Snippet = { id: string, name: string, note: string, code: string };

// take/stages.js

/** Of a take; times are of performance.now(), durations those of the server's `done`. */
interface Metrics {
  clicked?: number;
  /** When the audio device ran. */
  device?: number;
  /** When the request was sent. */
  sent?: number;
  /** How many were sent per second, if the text was sent as tokens. */
  tokens?: number;
  /** When the first sound arrived. */
  arrived?: number;
  /** When it was heard. */
  heard?: number;
  queue_ms?: number;
  first_audio_ms?: number;
  audio_ms?: number;
  realtime_factor?: number;
}

/** Start in ms from the click. */
type Stage = { name: string, about: string, start: number, ms: number };

// take/subtitles.js

/** Seconds, and what is shown. */
type Cue = { start: number, end: number, text: string };

// take/take.js

/** Of the speech, as the server's `start` takes them. */
interface Settings {
  voice: string;
  /** A tag, or "auto". */
  language: string;
  speed: number;
  pitch: number;
  /** The engine's own, such as seed. */
  options: Record<string, number>;
}

// voices/voice-list.js

/** Of the file that a voice needs. */
interface Download {
  state: "absent" | "fetching" | "present" | "failed";
  received: number;
  size: number;
  error: string | null;
}

interface VoiceSample {
  prompt_id: string;
  duration: number;
  transcript: string | null;
  transcript_findings: string[];
  exists: boolean;
  waveform: number[];
  original_format: string;
  original_sample_rate: number;
  language: string | null;
  language_probability: number;
  warnings: string[];
}

type ListedVoice = { id: string, name: string, style: string, builtin: boolean, audio_prompt: string | null, warnings: string[], download?: Download | null };

// voices/pronunciations.js

type Word = { word: string, language: string | null, respelling: string | null, ipa: string | null };

// index.html

/** The elements of index.html that are more than HTMLElements, by id. */
interface Elements {
  "add-word": HTMLButtonElement;
  "cancel-upload": HTMLButtonElement;
  "code": HTMLDialogElement;
  "code-copy": HTMLButtonElement;
  "compare-all": HTMLButtonElement;
  "compare-choose": HTMLButtonElement;
  "copy-code": HTMLButtonElement;
  "edit": HTMLButtonElement;
  "follow": HTMLButtonElement;
  "history": HTMLDialogElement;
  "history-button": HTMLButtonElement;
  "history-clear": HTMLButtonElement;
  "key": HTMLInputElement;
  "key-form": HTMLFormElement;
  "language": HTMLButtonElement;
  "load": HTMLButtonElement;
  "loop": HTMLButtonElement;
  "make-voice": HTMLButtonElement;
  "open-file": HTMLButtonElement;
  "options": HTMLDialogElement;
  "options-button": HTMLButtonElement;
  "options-done": HTMLButtonElement;
  "picker": HTMLDialogElement;
  "picker-search": HTMLInputElement;
  "pitch": HTMLInputElement;
  "play": HTMLButtonElement;
  "rate": HTMLInputElement;
  "record": HTMLButtonElement;
  "record-level": HTMLMeterElement;
  "respelling": HTMLInputElement;
  "said": HTMLTextAreaElement;
  "sample-file": HTMLInputElement;
  "sample-name": HTMLInputElement;
  "sample-play": HTMLButtonElement;
  "save-transcript": HTMLButtonElement;
  "sent": HTMLProgressElement;
  "share": HTMLButtonElement;
  "speak-tab": HTMLButtonElement;
  "speed": HTMLInputElement;
  "text-file": HTMLInputElement;
  "tokens": HTMLInputElement;
  "transcribe": HTMLButtonElement;
  "trim-from": HTMLInputElement;
  "trim-to": HTMLInputElement;
  "upload": HTMLButtonElement;
  "upload-form": HTMLFormElement;
  "use-made": HTMLButtonElement;
  "voice": HTMLButtonElement;
  "voice-form": HTMLFormElement;
  "voice-name": HTMLInputElement;
  "voice-style": HTMLInputElement;
  "volume": HTMLInputElement;
  "waveform": HTMLCanvasElement;
  "waveform-player": HTMLCanvasElement;
  "word": HTMLInputElement;
  "word-form": HTMLFormElement;
  "word-language": HTMLInputElement;
}
