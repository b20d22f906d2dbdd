// @ts-check
// A request as code: curl, Python, JavaScript and OpenAI's SDK, each runnable as it stands. Never the key.

const KEY = "YOUR_KEY";
const OPENAI_EXTRA = ["language", "pitch", "seed"]; // the server's own fields that it takes beside OpenAI's

/**
 * Return the request as each kind of code.
 * @param {SpeechRequest} request
 * @returns {Snippet[]}
 */
export function snippetsOf(request) {
  return [
    { id: "curl", name: "curl", note: "", code: curl(request) },
    { id: "python", name: "Python", note: "Needs: pip install websockets", code: python(request) },
    { id: "javascript", name: "JavaScript", note: "Runs in a browser, and in Node 22 or newer.", code: javascript(request) },
    { id: "openai", name: "OpenAI SDK", note: openaiNote(request), code: openai(request) },
  ];
}

/** The fields of the server's own protocol, without defaults. @param {SpeechRequest} request */
function fieldsOf({ settings: { voice, language, speed, pitch, options } }) {
  return {
    voice,
    ...(language !== "auto" && { language }),
    ...(speed !== 1 && { speed }),
    ...(pitch !== 1 && { pitch }),
    ...options,
  };
}

function curl(/** @type {SpeechRequest} */ request) {
  const { voice, ...rest } = fieldsOf(request);
  const body = JSON.stringify({ text: request.text, voice_id: voice, ...rest, response_format: "mp3" }, null, 2);
  const lines = [`curl ${shell(`${request.address}generate`)}`];
  if (request.locked) lines.push(`-H ${shell(`Authorization: Bearer ${KEY}`)}`);
  lines.push(`-H ${shell("Content-Type: application/json")}`, `-d ${shell(body)}`, "-o speech.mp3");
  return lines.join(" \\\n  ");
}

function python(/** @type {SpeechRequest} */ request) {
  const message = { type: "speak", text: request.text, ...fieldsOf(request) };
  const auth = request.locked ? `\n        await socket.send(json.dumps({"type": "auth", "key": "${KEY}"}))` : "";
  return `import asyncio, json, wave
from websockets.asyncio.client import connect

REQUEST = ${literal(message)}

async def main():
    async with connect(${JSON.stringify(socketOf(request))}) as socket:${auth}
        ready = json.loads(await socket.recv())
        await socket.send(json.dumps(REQUEST))
        with wave.open("speech.wav", "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(ready["sample_rate"])
            async for message in socket:
                if isinstance(message, bytes):
                    file.writeframes(message[16:])  # play it here, while the rest is being made
                elif (event := json.loads(message))["type"] == "error":
                    raise SystemExit(event["message"])
                elif event["type"] == "done":
                    break

asyncio.run(main())
`;
}

function javascript(/** @type {SpeechRequest} */ request) {
  const message = { type: "speak", text: request.text, ...fieldsOf(request) };
  const auth = request.locked ? `\n  socket.send(JSON.stringify({ type: "auth", key: "${KEY}" }));` : "";
  return `const request = ${literal(message)};

const socket = new WebSocket(${JSON.stringify(socketOf(request))});
socket.binaryType = "arraybuffer";
socket.onopen = () => {${auth}
  socket.send(JSON.stringify(request));
};
socket.onmessage = ({ data }) => {
  if (typeof data !== "string") {
    const samples = new Int16Array(data, 16); // mono PCM: play it here, while the rest is being made
    console.log(\`\${samples.length} samples\`);
    return;
  }
  const event = JSON.parse(data);
  if (event.type === "started") console.log(\`\${event.sample_rate} Hz\`);
  if (event.type === "error") console.error(event.message);
  if (event.type === "done" || event.type === "error") socket.close();
};
`;
}

function openai(/** @type {SpeechRequest} */ request) {
  const { voice, speed, ...rest } = /** @type {Record<string, any>} */ (fieldsOf(request));
  const extra = Object.fromEntries(Object.entries(rest).filter(([name]) => OPENAI_EXTRA.includes(name)));
  const lines = [`    model="tts-1",`, `    voice=${JSON.stringify(voice)},`, `    input=${JSON.stringify(request.text)},`];
  if (speed) lines.push(`    speed=${speed},`);
  if (Object.keys(extra).length) lines.push(`    extra_body=${literal(extra, "    ")},`);
  return `from openai import OpenAI

client = OpenAI(base_url=${JSON.stringify(`${request.address}v1`)}, api_key="${request.locked ? KEY : "none"}")
client.audio.speech.create(
${lines.join("\n")}
).write_to_file("speech.mp3")
`;
}

function openaiNote(/** @type {SpeechRequest} */ request) {
  const left = Object.keys(fieldsOf(request)).filter((name) => !["voice", "speed", ...OPENAI_EXTRA].includes(name));
  const needs = "Needs: pip install openai";
  return left.length ? `${needs}. This route does not take ${left.join(", ")}.` : needs;
}

function socketOf(/** @type {SpeechRequest} */ { address }) {
  return `${address.replace(/^http/, "ws")}ws/speak`;
}

/**
 * Write fields as Python and JavaScript both read them: JSON's strings are theirs, as it leaves characters as they are.
 * @param {Record<string, any>} fields
 * @param {string} indent
 */
function literal(fields, indent = "") {
  const entries = Object.entries(fields).map(
    ([name, value]) => `${indent}    ${JSON.stringify(name)}: ${JSON.stringify(value)},`,
  );
  return ["{", ...entries, `${indent}}`].join("\n");
}

/** Quote for a POSIX shell. @param {string} text */
function shell(text) {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
