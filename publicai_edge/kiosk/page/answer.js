// The answer as it is written: text on the page at once, sentences for a screen reader, marks to the passages.

import { goToPassage } from "./passages.js";
import * as speech from "./speech.js";
import { put, say } from "./words.js";

const byId = (id) => document.getElementById(id);
const HEARD_MS = 30000; // by then a line was read; one that stayed would be met again at the foot of the page
let sentence = null;
let sources = [];

// code: the language of the text, where it is not the page's.
export function announce(text, code = "") {
  const line = document.createElement("p");
  line.textContent = text;
  if (code) line.lang = code;
  const box = byId("announcer");
  box.append(line);
  while (box.children.length > 4) box.firstChild.remove();
  setTimeout(() => line.remove(), HEARD_MS);
}

export function openAnswer(found, searched) {
  sources = found;
  sentence = null;
  byId("answer").replaceChildren();
  byId("answer").lang = document.documentElement.lang;
  byId("answer-part").hidden = false;
  byId("ending").hidden = true;
  byId("marks-note").hidden = true;
  byId("unsupported").hidden = true;
  put(byId("made-by"), searched ? "answer.by" : "answer.by_alone");
  working("answer.reading");
}

export function working(key, values = {}) {
  put(byId("working"), key, values);
  byId("working").hidden = false;
}

// For what a patron waits: heard as well as seen, once each time it changes.
export function waiting(key, values = {}) {
  const before = byId("working").textContent;
  working(key, values);
  if (byId("working").textContent !== before) announce(byId("working").textContent);
}

export function write(text) {
  byId("working").hidden = true;
  if (!sentence) {
    sentence = document.createElement("span");
    byId("answer").append(sentence);
  }
  sentence.append(text);
}

export function endSentence(numbers) {
  if (!sentence) return;
  announce(sentence.textContent.trim(), byId("answer").lang);
  for (const number of numbers) sentence.append("\u00a0", mark(number));
  if (numbers.length) byId("marks-note").hidden = false;
  sentence = null;
}

function mark(number) {
  const link = document.createElement("a");
  link.className = "mark";
  link.href = `#passage-${number}`;
  link.textContent = number;
  const title = sources.find((source) => source.number === number)?.document ?? "";
  Object.assign(link.dataset, { label: "answer.source", number, title });
  link.setAttribute("aria-label", say("answer.source", link.dataset));
  link.addEventListener("click", (event) => {
    event.preventDefault();
    goToPassage(number);
  });
  return link;
}

// How it ended: "complete", "cut", "stopped", or an error's own word.
export function endAnswer(key, values = {}) {
  byId("working").hidden = true;
  sentence = null;
  const supported = byId("answer").querySelector(".mark") !== null;
  if (byId("answer").childElementCount && sources.length) {
    byId("marks-note").hidden = !supported;
    byId("unsupported").hidden = supported;
    if (!supported) announce(say("answer.unsupported"));
  }
  if (key !== "answer.complete") {
    put(byId("ending"), key, values);
    byId("ending").hidden = false;
  }
  announce(say(key, values));
  if (!byId("answer").childElementCount) return;
  speech.offer(byId("aloud"), () => byId("answer").lang, sentences);
  showPrint(true);
}

// What is read aloud: the sentences without their marks.
function sentences() {
  return [...byId("answer").children].map((element) => {
    const bare = element.cloneNode(true);
    for (const link of bare.querySelectorAll(".mark")) link.remove();
    return { text: bare.textContent.trim(), element };
  });
}

// There is no such button where nothing is to be printed.
function showPrint(there) {
  const button = byId("print");
  if (button) button.hidden = !there;
}

export function clearAnswer() {
  speech.withdraw(byId("aloud"));
  showPrint(false);
  sources = [];
  sentence = null;
  for (const id of ["answer", "ending", "working", "announcer"]) byId(id).replaceChildren();
  byId("answer-part").hidden = true;
}

export function keepEarlier(question) {
  const text = byId("answer").textContent;
  if (!question || !text) return;
  const item = document.createElement("li");
  const asked = document.createElement("p");
  asked.className = "earlier-question";
  asked.textContent = question;
  asked.dir = "auto";
  const answer = byId("answer").cloneNode(true);
  answer.removeAttribute("id");
  for (const link of answer.querySelectorAll(".mark")) link.remove();
  item.append(asked, answer);
  const list = byId("earlier-list");
  list.prepend(item);
  while (list.children.length > 10) list.lastChild.remove();
  byId("earlier").hidden = false;
}

export function clearEarlier() {
  byId("earlier-list").replaceChildren();
  byId("earlier").hidden = true;
  byId("earlier").open = false;
}
