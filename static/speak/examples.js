// @ts-check
// Examples to begin with, shown while there is no text.

import { byId, element } from "../lib/element.js";

const EXAMPLES = {
  "A greeting": "Hello! I am speaking while this sentence is still being made. Ask me to read something longer.",
  "A short story":
    "The lighthouse had been dark for forty years. On Tuesday, somebody switched it on.\n\n" +
    "Nobody in the village knew who had done it. But every fisherman out that night came home by its light, " +
    "and every one of them swore that he had seen it wink.",
  "Numbers and dates":
    "On 3 March 2025 at 9:45 a.m., 1,250 people paid $12.50 each. That is £9.80, about 3.5 % more than in 2024. " +
    "Dr. Smith lives at 221B Baker St.",
  "Many languages": "Good morning. Guten Morgen. Bonjour. Buenos días. Доброе утро. Καλημέρα. おはようございます。",
};

/** @param {(text: string) => void} speak takes the text of the example that is chosen, and speaks it */
export function mountExamples(speak) {
  const buttons = Object.entries(EXAMPLES).map(([name, text]) => {
    const button = element("button", { type: "button" }, name);
    button.addEventListener("click", () => speak(text));
    return button;
  });
  byId("examples").append(...buttons);
}
