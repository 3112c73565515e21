// The page: which view is shown, and what each button does. Nothing is kept in the browser's storage.

import * as answer from "./answer.js";
import { watchIdle } from "./idle.js";
import * as kiosk from "./kiosk.js";
import * as passages from "./passages.js";
import { withSlip } from "./slip.js";
import { fill, language, languageName, pick, quote, say, useLanguage } from "./words.js";

const byId = (id) => document.getElementById(id);
const VIEWS = ["choose", "ask", "document", "ended"];
const STATUS_MS = { ready: 10000, other: 1500 };

let facts = null;
let service = null;
let asked = "";
let stream = null; // the AbortController of the answer under way
let stoppedByPatron = false;
let returnFocus = null;
let endedNote = "session.wiped";
let idle = null;

function show(view, focus) {
  for (const name of VIEWS) byId(`view-${name}`).hidden = name !== view;
  byId("end").hidden = view === "ended" || (view === "choose" && !hasContent());
  if (focus) byId(focus).focus();
}

function hasContent() {
  const shown = !byId("view-ended").hidden;
  return !shown && Boolean(asked || byId("question").value || byId("earlier-list").childElementCount);
}

// --- words -------------------------------------------------------------------------------------------------

function setLanguage(code) {
  useLanguage(facts, code);
  const title = pick(facts.title);
  document.title = title;
  byId("title").textContent = title;
  byId("steward").textContent = facts.steward.name;
  const person = pick(facts.steward.ask_a_person);
  byId("person").textContent = person;
  byId("nothing-person").textContent = person;
  byId("question").placeholder = say("ask.placeholder");
  byId("ended-text").textContent = say(endedNote);
  byId("foot-line").textContent = [facts.steward.name, facts.model.name, facts.model.license].join(" · ");
  for (const button of byId("languages").children) {
    button.setAttribute("aria-pressed", String(button.lang === language()));
  }
  drawServices();
  drawService();
  drawAbout();
}

function drawLanguages() {
  const buttons = facts.languages.map(({ code, direction }) => {
    const button = document.createElement("button");
    button.type = "button";
    button.lang = code;
    button.dir = direction;
    button.textContent = languageName(code);
    button.addEventListener("click", () => setLanguage(code));
    return button;
  });
  byId("languages").replaceChildren(...buttons);
  byId("languages").hidden = buttons.length < 2;
}

function drawServices() {
  const items = facts.services.map((offered) => {
    const item = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    const title = document.createElement("span");
    title.className = "service-name";
    title.textContent = pick(offered.title);
    const text = document.createElement("span");
    text.textContent = pick(offered.description);
    button.append(title, text);
    button.addEventListener("click", () => openService(offered));
    item.append(button);
    return item;
  });
  byId("services").replaceChildren(...items);
  byId("to-services").hidden = items.length < 2;
}

function drawService() {
  if (!service) return;
  byId("service-title").textContent = pick(service.title);
  byId("service-description").textContent = pick(service.description);
}

function drawAbout() {
  const { steward, model, embedding, documents, name, version } = facts;
  const rows = [
    [say("about.steward"), `${steward.name}. ${steward.contact}`],
    [say("about.model"), `${model.name}, ${model.quantization}, ${model.license}`],
  ];
  if (embedding) rows.push([say("about.search"), `${embedding.name}, ${embedding.quantization}, ${embedding.license}`]);
  if (documents) rows.push([say("about.documents"), say("about.documents_text", documents)]);
  for (const item of facts.zim) rows.push([item.name, `${item.license}, ${item.license_url}`]);
  rows.push([say("about.offline"), say("about.offline_text")]);
  rows.push([say("about.bundle"), `${name} ${version}`]);
  for (const offered of facts.services) {
    rows.push([say("about.prompt", { service: pick(offered.title) }), pick(offered.prompt)]);
  }
  const elements = rows.flatMap(([term, text]) => {
    const left = document.createElement("dt");
    left.textContent = term;
    const right = document.createElement("dd");
    right.textContent = text;
    return [left, right];
  });
  byId("about").replaceChildren(...elements);
  byId("staff").hidden = !facts.staff;
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
  if (facts.services.length === 1) openService(facts.services[0]);
  else show("choose", fresh ? null : "choose-title");
}

function leaveResult() {
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
    byId("problem").textContent = "";
    byId("end").hidden = false;
  });
}

function askOnEnter(event) {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    byId("form").requestSubmit();
  }
}

async function openDocument(source, button) {
  returnFocus = button;
  try {
    passages.showDocument(await kiosk.readDocument(source.source), source.passage);
  } catch {
    quote(byId("document-title"), source.document);
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
  show("ask");
  returnFocus?.focus();
}

// --- asking ------------------------------------------------------------------------------------------------

async function submit(event) {
  event.preventDefault();
  const text = byId("question").value.trim();
  const problem = !text ? "ask.empty" : [...text].length > facts.longest_question ? "error.too_long" : null;
  byId("problem").textContent = problem ? say(problem) : "";
  if (problem) {
    byId("question").focus();
    return;
  }
  openResult(text);
  await follow({ service: service.id, language: language(), question: text });
}

function openResult(text) {
  asked = text;
  byId("asked").textContent = text;
  byId("form").hidden = true;
  byId("result").hidden = false;
  byId("view-ask").classList.add("has-result");
  byId("passages-part").hidden = !service.search;
  byId("searching").hidden = false;
  byId("nothing").hidden = true;
  byId("end").hidden = false;
  if (!service.search) answer.openAnswer([], false);
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
      answer.working(service.search ? "answer.preparing_passages" : "answer.preparing");
      return false;
    case "waiting":
      answer.working("answer.waiting", { position: event.position });
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

// --- the end of a session ----------------------------------------------------------------------------------

function wipe() {
  stopStream();
  asked = "";
  leaveResult();
  answer.clearEarlier();
  emptyQuestion();
  byId("problem").textContent = "";
  returnFocus = null;
  service = null;
  byId("service-title").textContent = "";
  byId("service-description").textContent = "";
}

async function end(forIdleness = false) {
  wipe();
  let confirmed = false;
  try {
    confirmed = await kiosk.endSession();
  } catch {
    // Said on the page: the kiosk did not confirm.
  }
  endedNote = confirmed ? "session.wiped" : "session.unconfirmed";
  document.querySelector(".about").open = false;
  setLanguage(facts.languages[0].code);
  byId("ended-why").hidden = !forIdleness;
  show("ended", "ended-title");
  scrollTo(0, 0);
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
  notice.dataset.word = key;
  notice.hidden = state === "ready";
  if (!notice.hidden && notice.textContent !== say(key)) notice.textContent = say(key);
  setTimeout(watchStatus, state === "ready" ? STATUS_MS.ready : STATUS_MS.other);
}

// --- start -------------------------------------------------------------------------------------------------

function wire() {
  byId("form").addEventListener("submit", submit);
  byId("new").addEventListener("click", newQuestion);
  byId("stop").addEventListener("click", stop);
  byId("to-services").addEventListener("click", () => show("choose", "choose-title"));
  byId("to-answer").addEventListener("click", closeDocument);
  byId("to-answer-too").addEventListener("click", closeDocument);
  byId("end").addEventListener("click", () => end());
  byId("start").addEventListener("click", () => openStart());
  byId("idle-end").addEventListener("click", () => {
    byId("idle").close();
    end();
  });
  addEventListener("resize", passages.hideNeedlessButtons);
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
  drawLanguages();
  setLanguage(facts.languages[0].code);
  wire();
  idle = watchIdle(facts.session_minutes, hasContent, () => end(true));
  fill(document);
  openStart(true);
  watchStatus();
}

start();
