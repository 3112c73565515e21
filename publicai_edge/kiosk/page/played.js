// Sentences that a voice of the kiosk says: the next one is fetched while one is heard, and nothing of them is kept.

import * as kiosk from "./kiosk.js";

const MOST_LETTERS = 1000; // that the kiosk says at once

// Long sentences in pieces, each for the same element.
function pieces(parts) {
  return parts.flatMap((part) => {
    const found = [""];
    for (const word of part.text.split(/\s+/)) {
      if (found.at(-1) && [...found.at(-1)].length + [...word].length >= MOST_LETTERS) found.push("");
      found.push(`${found.pop()} ${[...word].slice(0, MOST_LETTERS - 1).join("")}`.trim());
    }
    return found.filter(Boolean).map((text) => ({ ...part, text }));
  });
}

// Reads parts, [{ text, element }], in a language. onPart: called before each is heard. onEnd: called at the end, also
// where the kiosk cannot go on. Returns { stop }, which is silent at once.
export function read(language, parts, onPart, onEnd) {
  const context = new AudioContext();
  const request = new AbortController();
  const todo = pieces(parts);
  let source = null;

  async function fetched(part) {
    if (!part) return null;
    return context.decodeAudioData(await kiosk.speak(part.text, language, request.signal));
  }

  function play(sound) {
    return new Promise((ended) => {
      source = context.createBufferSource();
      source.buffer = sound;
      source.onended = ended;
      source.connect(context.destination);
      source.start();
    });
  }

  async function run() {
    await context.resume();
    let coming = fetched(todo[0]);
    for (const [at, part] of todo.entries()) {
      const sound = await coming;
      if (request.signal.aborted) return;
      coming = fetched(todo[at + 1]);
      coming.catch(() => {}); // told when its turn comes
      onPart(part);
      await play(sound);
      if (request.signal.aborted) return;
    }
  }

  run().catch(() => {}).finally(() => {
    if (!request.signal.aborted) onEnd();
  });
  return {
    stop() {
      request.abort();
      source?.stop();
      context.close();
    },
  };
}
