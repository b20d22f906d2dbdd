// Draws the analyser's spectrum as bars while audio plays.

const BARS = 64;

export class Spectrum {
  #canvas;
  #analyser = null;
  #frame = 0;
  #still = matchMedia("(prefers-reduced-motion: reduce)");

  constructor(canvas) {
    this.#canvas = canvas;
  }

  start(analyser) {
    this.#analyser = analyser;
    if (!this.#frame) this.#frame = requestAnimationFrame(() => this.#draw());
  }

  stop() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    this.#clear();
  }

  #clear() {
    this.#canvas.getContext("2d").clearRect(0, 0, this.#canvas.width, this.#canvas.height);
  }

  #draw() {
    this.#frame = requestAnimationFrame(() => this.#draw());
    if (this.#still.matches) return;
    const levels = new Uint8Array(this.#analyser.frequencyBinCount);
    this.#analyser.getByteFrequencyData(levels);
    const { width, height } = this.#canvas;
    const pen = this.#canvas.getContext("2d");
    pen.fillStyle = getComputedStyle(this.#canvas).color;
    this.#clear();
    const used = Math.floor(levels.length * 0.7);
    for (let bar = 0; bar < BARS; bar++) {
      const level = levels[Math.floor((bar * used) / BARS)] / 255;
      const tall = Math.max(2, level * height);
      pen.fillRect((bar * width) / BARS, height - tall, width / BARS - 3, tall);
    }
  }
}
