// The text, with the sentence and word that are playing marked.

export class Transcript {
  #element;
  #parts;
  #characters = [];
  #sentences = [];
  #words = [];
  #shown = "";

  constructor(element) {
    this.#element = element;
    this.#parts = [...element.children];
  }

  begin(text) {
    this.#characters = Array.from(text); // the server counts code points
    this.#sentences = [];
    this.#words = [];
    this.#shown = "";
    this.#show(null, null);
    this.#element.scrollTop = 0;
  }

  addSentence({ start, end, first_sample: at }) {
    this.#sentences.push({ start, end, at });
  }

  addWords(words, rate) {
    for (const { start, end, start_ms: ms } of words) this.#words.push({ start, end, at: (ms * rate) / 1000 });
  }

  // Marks the sentence and word that play at a sample; null for none.
  heard(sample) {
    const current = (list) => (sample === null ? null : list.findLast(({ at }) => at <= sample) ?? null);
    const sentence = current(this.#sentences);
    const word = current(this.#words);
    this.#show(sentence, word && sentence && word.start >= sentence.start && word.end <= sentence.end ? word : null);
  }

  #show(sentence, word) {
    const key = `${sentence?.start}:${word?.start}`;
    if (key === this.#shown) return;
    this.#shown = key;
    const end = this.#characters.length;
    const from = sentence?.start ?? end;
    const to = sentence?.end ?? end;
    const cuts = [0, from, word?.start ?? to, word?.end ?? to, to, end];
    this.#parts.forEach((part, at) => {
      part.textContent = this.#characters.slice(cuts[at], cuts[at + 1]).join("");
    });
    if (sentence) this.#follow(this.#parts[word ? 2 : 1]);
  }

  // Scrolls a long text so that the marked word stays visible.
  #follow(mark) {
    const whole = this.#element.getBoundingClientRect();
    const heard = mark.getBoundingClientRect();
    if (heard.top >= whole.top && heard.bottom <= whole.bottom) return;
    this.#element.scrollTop += heard.top - whole.top - whole.height / 3;
  }
}
