// The page: which view is shown, and what each button does. Nothing is kept in the browser's storage.

import * as answer from "./answer.js";
import { keepSteps } from "./back.js";
import * as dictation from "./dictation.js";
import { drawNames, drawServices } from "./facts.js";
import { watchIdle } from "./idle.js";
import * as kiosk from "./kiosk.js";
import * as passages from "./passages.js";
import * as sight from "./sight.js";
import { takeLeft, withSlip } from "./slip.js";
import * as speech from "./speech.js";
import { drawLanguages } from "./top.js";
import { fill, language, pick, put, quote, say, useLanguage } from "./words.js";

const byId = (id) => document.getElementById(id);
const VIEWS = ["choose", "ask", "document", "ended"];
const STATUS_MS = { ready: 10000, other: 1500 };
const FRESH_MS = 30000; // how long the words of the end stay as their reader had them, where nobody goes on

let facts = null;
let shown = "choose";
let service = null;
let asked = "";
let stream = null; // the AbortController of the answer under way
let stoppedByPatron = false;
let returnFocus = null;
let endedNote = ""; // what became of the session: told when the kiosk has answered
let freshening = null;
let idle = null;
let keep = () => {}; // the browser's history in step with the view

function show(view, focus) {
  shown = view;
  for (const name of VIEWS) byId(`view-${name}`).hidden = name !== view;
  showEnd();
  showTitle();
  keep();
  if (focus) byId(focus).focus();
}

// How many steps Back has within the page: to the answer, to the question, to the choice of a service.
function depth() {
  if (shown === "document") return 2 + several();
  return shown === "ask" ? (byId("result").hidden ? 0 : 1) + several() : 0;
}

const several = () => (facts.services.length > 1 ? 1 : 0);

function stepBack() {
  if (shown === "document") closeDocument();
  else if (!byId("result").hidden) newQuestion();
  else openServices();
}

function showEnd() {
  byId("end").hidden = shown === "ended" || (shown === "choose" && !inUse());
}

function hasContent() {
  return Boolean(asked || byId("question").value || byId("earlier-list").childElementCount);
}

// Whether there is anything that the next patron must not find: words, but also a language or letters not chosen by them.
function inUse() {
  const chosen = language() !== facts.languages[0].code || sight.isChanged();
  return shown !== "ended" && (chosen || hasContent());
}

// --- words -------------------------------------------------------------------------------------------------

function setLanguage(code) {
  speech.stop();
  dictation.drop();
  useLanguage(facts, code);
  drawNames(facts);
  drawServices(facts, openService);
  drawService();
  byId("question").placeholder = say("ask.placeholder");
  if (endedNote) byId("ended-text").textContent = say(endedNote);
  speech.refresh();
  dictation.refresh();
  showTitle();
}

function drawService() {
  if (!service) return;
  byId("service-title").textContent = pick(service.title);
  byId("service-description").textContent = pick(service.description);
}

// The title says where one is. It gets into a browser's history, so nothing that a patron asked or read is in it.
function showTitle() {
  const here = shown === "ended" ? say("session.ended") : service && shown !== "choose" ? pick(service.title) : "";
  document.title = [here, pick(facts.title)].filter(Boolean).join(" – ");
}

// --- views -------------------------------------------------------------------------------------------------

function openService(chosen) {
  if (service !== chosen) leaveResult();
  service = chosen;
  drawService();
  show("ask");
  (byId("form").hidden ? byId("asked") : byId("question")).focus();
}

// The focus stays where a fresh page has it, so that the skip link is the first thing the keyboard meets.
function openStart(fresh = false) {
  freshen();
  if (facts.services.length === 1) openService(facts.services[0]);
  else show("choose", fresh ? null : "choose-title");
}

function openServices() {
  dictation.drop();
  show("choose", "choose-title");
}

function leaveResult() {
  speech.stop();
  dictation.drop();
  stopStream();
  answer.keepEarlier(asked);
  asked = "";
  answer.clearAnswer();
  passages.clearPassages();
  byId("asked").textContent = "";
  byId("result").hidden = true;
  byId("form").hidden = false;
  byId("view-ask").classList.remove("has-result");
}

function newQuestion() {
  leaveResult();
  emptyQuestion();
  keep();
  byId("question").focus();
}

// A fresh element: a browser's undo would bring back what an emptied one held.
function emptyQuestion() {
  const old = byId("question");
  const fresh = old.cloneNode(false);
  fresh.value = "";
  old.replaceWith(fresh);
  fresh.addEventListener("keydown", askOnEnter);
  fresh.addEventListener("input", () => {
    setProblem(null);
    byId("end").hidden = false;
  });
}

// What was said, behind what was there, to be read before it is asked.
function insertSaid(text) {
  const field = byId("question");
  field.value = [field.value.trimEnd(), text].filter(Boolean).join(" ");
  field.dispatchEvent(new Event("input"));
  field.focus();
  field.setSelectionRange(field.value.length, field.value.length);
}

function setProblem(key, values = {}) {
  byId("problem").textContent = key ? say(key, values) : "";
  if (key) byId("question").setAttribute("aria-invalid", "true");
  else byId("question").removeAttribute("aria-invalid");
}

function askOnEnter(event) {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    byId("form").requestSubmit();
  }
}

async function openDocument(source, button) {
  speech.stop();
  returnFocus = button;
  try {
    passages.showDocument(await kiosk.readDocument(source.source), source.passage);
  } catch {
    quote(byId("document-title"), source.document, source.language);
    byId("document-text").textContent = say("document.missing");
  }
  show("document", "document-title");
  const found = document.getElementById("found");
  if (found) {
    found.scrollIntoView({ block: "center" });
    found.focus({ preventScroll: true });
  }
}

function closeDocument() {
  speech.stop();
  show("ask");
  returnFocus?.focus();
}

// --- asking ------------------------------------------------------------------------------------------------

async function submit(event) {
  event.preventDefault();
  const text = byId("question").value.trim();
  const problem = !text ? "ask.empty" : [...text].length > facts.longest_question ? "error.too_long" : null;
  setProblem(problem);
  if (problem) {
    byId("question").focus();
    return;
  }
  openResult(text);
  await follow({ service: service.id, language: language(), question: text });
}

function openResult(text) {
  dictation.drop();
  asked = text;
  byId("asked").textContent = text;
  byId("asked").lang = language();
  byId("form").hidden = true;
  byId("result").hidden = false;
  byId("view-ask").classList.add("has-result");
  byId("passages-part").hidden = !service.search;
  byId("searching").hidden = false;
  byId("nothing").hidden = true;
  byId("end").hidden = false;
  if (!service.search) answer.openAnswer([], false);
  keep();
  byId("asked").focus();
  scrollTo(0, 0);
}

async function follow(question) {
  const controller = new AbortController();
  stream = controller;
  stoppedByPatron = false;
  byId("stop").hidden = false;
  let ended = false;
  try {
    for await (const event of withSlip(kiosk.ask(question, controller.signal), question, facts.slips)) {
      if (stream !== controller) return;
      idle.active();
      ended = take(event) || ended;
    }
    if (!ended) answer.endAnswer("error.engine_failed");
  } catch {
    if (stream !== controller) return;
    if (stoppedByPatron) answer.endAnswer("answer.stopped");
    else fail("error.other");
  } finally {
    if (stream === controller) {
      stream = null;
      byId("stop").hidden = true;
      byId("searching").hidden = true;
    }
  }
}

// Shows one event; returns whether it was the last of its answer.
function take(event) {
  switch (event.type) {
    case "passages":
      byId("searching").hidden = true;
      passages.showPassages(event.sources, openDocument);
      answer.announce(
        event.sources.length === 1
          ? say("passages.found_one")
          : say("passages.found_many", { count: event.sources.length }),
      );
      answer.openAnswer(event.sources, true);
      return false;
    case "nothing_found":
      byId("passages-part").hidden = true;
      byId("nothing").hidden = false;
      answer.announce(`${say("nothing.title")}. ${say("nothing.text")}`);
      return true;
    case "preparing":
      answer.waiting(service.search ? "answer.preparing_passages" : "answer.preparing");
      return false;
    case "waiting":
      answer.waiting("answer.waiting", { position: event.position });
      return false;
    case "started":
      answer.working("answer.writing");
      return false;
    case "text":
      answer.write(event.text);
      return false;
    case "sentence":
      answer.endSentence(event.sources);
      return false;
    case "done":
      answer.endAnswer(event.reason === "length" ? "answer.cut" : "answer.complete");
      return true;
    case "error":
      fail(`error.${event.code}`, { seconds: event.retry_after ?? 5 });
      return true;
    default:
      return false;
  }
}

function fail(key, values = {}) {
  const known = say(key) === key ? "error.other" : key;
  byId("answer-part").hidden = false;
  byId("searching").hidden = true;
  if (!byId("passages").childElementCount) byId("passages-part").hidden = true;
  answer.endAnswer(known, values);
}

function stopStream() {
  const running = stream;
  stream = null;
  running?.abort();
  byId("stop").hidden = true;
}

function stop() {
  stoppedByPatron = true;
  stream?.abort();
  byId("answer-title").focus({ preventScroll: true });
}

// The name of what is printed is the page's title, which holds nothing that a patron asked. A browser may stand still for
// as long as its dialog is open; that counts as idle, so that one that was left open ends the session when it is closed.
function printAnswer() {
  speech.stop();
  print();
}

// --- the end of a session ----------------------------------------------------------------------------------

function wipe() {
  stopStream();
  asked = "";
  leaveResult();
  answer.clearEarlier();
  emptyQuestion();
  setProblem(null);
  returnFocus = null;
  service = null;
  byId("service-title").textContent = "";
  byId("service-description").textContent = "";
}

// The page is wiped and says so before the kiosk is asked; the sentence about its memory waits for its answer.
async function end(forIdleness = false) {
  const kept = takeLeft();
  wipe();
  endedNote = "";
  byId("ended-text").textContent = "";
  byId("ended-why").hidden = !forIdleness;
  document.querySelector(".about").open = false;
  if (forIdleness) freshen(); // nobody is there to read it in a language or in letters of their own
  else freshening = setTimeout(freshen, FRESH_MS);
  show("ended", "ended-title");
  scrollTo(0, 0);
  let confirmed = false;
  try {
    confirmed = await kiosk.endSession();
  } catch {
    // Said on the page: the kiosk did not confirm.
  }
  endedNote = !confirmed ? "session.unconfirmed" : kept ? "session.wiped_slip" : "session.wiped";
  byId("ended-text").textContent = say(endedNote);
}

// As the next patron has to find it: the first language, ordinary letters.
function freshen() {
  clearTimeout(freshening);
  sight.reset();
  if (language() !== facts.languages[0].code) setLanguage(facts.languages[0].code);
}

function leave() {
  if (!hasContent()) return;
  wipe();
  kiosk.endSession().catch(() => {});
}

// --- how the model is --------------------------------------------------------------------------------------

async function watchStatus() {
  let state = "unreachable";
  try {
    state = (await kiosk.status()).engine;
  } catch {
    // Said on the page, below.
  }
  const notice = byId("notice");
  const key = state === "unreachable" || state === "closed" ? "page.unreachable" : `status.${state}`;
  notice.hidden = state === "ready";
  if (notice.hidden) {
    delete notice.dataset.word;
    notice.textContent = "";
  } else if (notice.dataset.word !== key) put(notice, key);
  setTimeout(watchStatus, state === "ready" ? STATUS_MS.ready : STATUS_MS.other);
}

// --- start -------------------------------------------------------------------------------------------------

function wire() {
  byId("form").addEventListener("submit", submit);
  // Not by its address: that would be an entry of the browser's history, and Back would come to it.
  document.querySelector(".skip").addEventListener("click", (event) => {
    event.preventDefault();
    byId("main").focus();
  });
  byId("new").addEventListener("click", newQuestion);
  byId("stop").addEventListener("click", stop);
  if (facts.printing) byId("print").addEventListener("click", printAnswer);
  else byId("print").remove();
  byId("to-services").addEventListener("click", openServices);
  byId("to-answer").addEventListener("click", closeDocument);
  byId("to-answer-too").addEventListener("click", closeDocument);
  byId("end").addEventListener("click", () => end());
  byId("start").addEventListener("click", () => openStart());
  byId("idle-end").addEventListener("click", () => {
    byId("idle").close();
    end();
  });
  sight.wire(() => {
    showEnd();
    passages.hideNeedlessButtons();
  });
  speech.wire(facts, () => idle.active());
  dictation.wire(facts, {
    insert: insertSaid,
    problem: (key, values) => {
      setProblem(key, values);
      byId("question").removeAttribute("aria-invalid"); // what is in the field is as good as before
    },
    active: () => idle.active(),
  });
  addEventListener("resize", passages.hideNeedlessButtons);
  addEventListener("pagehide", dictation.drop);
  addEventListener("pagehide", leave);
  addEventListener("pageshow", (event) => {
    if (event.persisted) location.reload();
  });
  emptyQuestion();
}

async function start() {
  try {
    facts = await kiosk.about();
  } catch {
    byId("notice").textContent = "The kiosk is not answering. Please tell a member of staff.";
    byId("notice").hidden = false;
    return;
  }
  drawLanguages(facts, (code) => {
    setLanguage(code);
    showEnd();
  });
  setLanguage(facts.languages[0].code);
  wire();
  keep = keepSteps(depth, stepBack);
  idle = watchIdle(facts.session_minutes, inUse, () => end(true));
  fill(document);
  openStart(true);
  watchStatus();
}

start();
