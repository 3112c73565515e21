// Speaking instead of typing: the kiosk itself writes down what is said, and the words come into the question field to
// be read before they are asked. The browser's own recognition is not used: it sends what it hears to a server.

import { announce } from "./answer.js";
import * as kiosk from "./kiosk.js";
import { hasMicrophone, record } from "./recording.js";
import { language, put, say } from "./words.js";

const byId = (id) => document.getElementById(id);
const BUTTONS = { idle: "dictation.start", asking: "dictation.cancel", listening: "dictation.stop", writing: "dictation.cancel" };
const STATES = { listening: "dictation.listening", writing: "dictation.writing" };

let offered = null; // { languages, max_seconds }, where the bundle has a speech model
let page = null; // { insert, problem, active }: what the page does with words, with what went wrong, with a sign of life
let run = null; // what is under way: { state, recording, request }
let microphone = false;

// facts: of the kiosk. page: see above.
export function wire(facts, ownPage) {
  offered = facts.dictation;
  page = ownPage;
  if (!offered || !navigator.mediaDevices || !globalThis.AudioWorkletNode) {
    offered = null;
    return;
  }
  byId("dictate").addEventListener("click", press);
  navigator.mediaDevices.addEventListener("devicechange", look);
  look();
}

async function look() {
  microphone = await hasMicrophone();
  refresh();
}

// After a change of language: the model may not know this one.
export function refresh() {
  byId("dictation").hidden = !(microphone && offered?.languages.includes(language()));
}

// Ends it, whatever it is at; nothing of it is kept. For the end of a session, and whenever the question is left.
export function drop() {
  const ended = run;
  run = null;
  ended?.recording?.drop();
  ended?.request.abort();
  if (ended) show("idle");
}

function press() {
  page.problem(null);
  if (run?.state === "listening") write(run);
  else if (run) drop();
  else listen();
}

function show(state) {
  const key = STATES[state];
  byId("dictation").dataset.state = state;
  put(byId("dictate"), BUTTONS[state]);
  byId("dictation-state").hidden = !key;
  if (!key) return;
  put(byId("dictation-state"), key);
  announce(say(key));
}

function enter(held, state) {
  held.state = state;
  page.active();
  show(state);
}

async function listen() {
  const held = { state: "asking", recording: null, request: new AbortController() };
  run = held;
  enter(held, "asking");
  try {
    held.recording = await record(offered.max_seconds, () => run === held, () => write(held));
  } catch {
    fail(held, "dictation.microphone");
    return;
  }
  if (run === held) enter(held, "listening");
  else held.recording?.drop();
}

async function write(held) {
  if (run !== held || held.state !== "listening") return;
  const samples = held.recording.finish();
  enter(held, "writing");
  let answer = { code: "failed" };
  try {
    answer = await kiosk.dictate(samples, language(), held.request.signal);
  } catch {
    // Said on the page, below.
  } finally {
    samples.fill(0);
  }
  if (run !== held) return;
  if (answer.code === "overloaded") fail(held, "dictation.busy", { seconds: answer.retry_after ?? 5 });
  else if (answer.code) fail(held, "dictation.failed");
  else if (!answer.text) fail(held, "dictation.nothing");
  else {
    close();
    page.insert(answer.text);
    announce(say("dictation.written"));
  }
}

function fail(held, key, values = {}) {
  if (run !== held) return;
  close();
  page.problem(key, values);
}

function close() {
  run = null;
  page.active();
  show("idle");
}
