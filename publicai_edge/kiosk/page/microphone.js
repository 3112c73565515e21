// Runs beside the page, where sound arrives: passes it on as 16-bit samples, a thirtieth of a second at a time.

const LENGTH = 512;

class Microphone extends AudioWorkletProcessor {
  #piece = new Int16Array(LENGTH);
  #filled = 0;

  process([[sound]]) {
    for (const sample of sound ?? []) {
      this.#piece[this.#filled++] = Math.max(-1, Math.min(1, sample)) * 0x7fff;
      if (this.#filled < LENGTH) continue;
      this.port.postMessage(this.#piece, [this.#piece.buffer]);
      this.#piece = new Int16Array(LENGTH);
      this.#filled = 0;
    }
    return true;
  }
}

registerProcessor("microphone", Microphone);
