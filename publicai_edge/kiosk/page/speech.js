// Reads aloud, sentence by sentence, with a voice that this computer has, or else with one of the kiosk. Many browsers
// also list voices that a server speaks: those would be told what a patron reads, so a voice counts only where the
// browser says that it is local. Listening is the kiosk's own work, see dictation.js.

import * as played from "./played.js";
import { put } from "./words.js";

const speech = globalThis.speechSynthesis;
const offered = new Map(); // button -> { code, parts }
let reading = null;
let heard = () => {};
let kioskSpeaks = []; // languages that the kiosk has a voice for

// Language and script, since a voice for one kind of Chinese does not read the other.
function kind(tag) {
  try {
    const { language, script } = new Intl.Locale(tag.replaceAll("_", "-")).maximize();
    return `${language}-${script}`;
  } catch {
    return "";
  }
}

function voiceFor(code) {
  const wanted = kind(code);
  const own = speech?.getVoices().filter((voice) => voice.localService === true && kind(voice.lang) === wanted) ?? [];
  return (wanted && (own.find((voice) => voice.lang === code) ?? own.find((voice) => voice.default) ?? own[0])) || null;
}

// The kiosk's own voice for a language; one for "en-GB" reads what is only known to be English.
function kioskCode(code) {
  return kioskSpeaks.includes(code) ? code : kioskSpeaks.find((own) => own.split("-")[0] === code);
}

function isSpoken(code) {
  return voiceFor(code) !== null || kioskCode(code) !== undefined;
}

export function sentences(text, code) {
  const pieces = Intl.Segmenter
    ? [...new Intl.Segmenter(code, { granularity: "sentence" }).segment(text)].map((piece) => piece.segment)
    : text.split("\n");
  return pieces.map((piece) => ({ text: piece.trim() })).filter((piece) => piece.text);
}

// Makes a button read what parts() gives: [{ text, element }], the element being marked while it is read. code() is the
// language. The button is hidden where neither this computer nor the kiosk has a voice for it.
export function offer(button, code, parts) {
  if (!offered.has(button)) button.addEventListener("click", () => toggle(button));
  offered.set(button, { code, parts });
  showWhereThereIsAVoice();
}

export function withdraw(button) {
  if (reading?.button === button) stop();
  button.hidden = true;
  if (offered.has(button)) offered.set(button, null);
}

function showWhereThereIsAVoice() {
  for (const [button, entry] of offered) {
    if (entry) button.hidden = !isSpoken(entry.code());
  }
}

function toggle(button) {
  const again = reading?.button === button;
  stop();
  if (again) return;
  const { code, parts } = offered.get(button);
  if (!isSpoken(code())) return;
  put(button, "aloud.stop");
  const run = { button, voice: voiceFor(code()), parts: parts(), next: 0, utterance: null, playing: null };
  reading = run;
  if (run.voice) readNext(run);
  else run.playing = played.read(kioskCode(code()), run.parts, mark, () => finish(run));
}

function mark(part) {
  unmark();
  heard();
  part.element?.classList.add("is-spoken");
}

function finish(run) {
  if (reading === run) stop();
}

function readNext(run) {
  if (reading !== run) return;
  const part = run.parts[run.next++];
  if (!part) {
    stop();
    return;
  }
  mark(part);
  const utterance = new SpeechSynthesisUtterance(part.text);
  utterance.voice = run.voice;
  utterance.lang = run.voice.lang;
  utterance.onend = () => readNext(run);
  utterance.onerror = () => finish(run);
  run.utterance = utterance; // Chromium drops one that nothing holds, and its end is never told (crbug.com/509488)
  speech.speak(utterance);
}

function unmark() {
  for (const element of document.querySelectorAll(".is-spoken")) element.classList.remove("is-spoken");
}

export function stop() {
  const run = reading;
  reading = null;
  if (!run) return;
  if (run.voice) speech.cancel();
  run.playing?.stop();
  unmark();
  put(run.button, "aloud.read");
}

// After a change of language, and when passages have gone.
export function refresh() {
  for (const button of offered.keys()) if (!button.isConnected) offered.delete(button);
  showWhereThereIsAVoice();
}

// onSentence: called before each sentence, so that listening counts as being there.
export function wire(facts, onSentence) {
  heard = onSentence;
  kioskSpeaks = facts.voices.map((voice) => voice.language);
  speech?.getVoices(); // asks for them: they come later
  speech?.addEventListener?.("voiceschanged", showWhereThereIsAVoice);
}
