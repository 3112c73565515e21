// "This answer is wrong": a slip for the staff, under the answer. What was asked is held only while its answer is shown,
// and goes on the slip only where the patron ticks that.

import { announce } from "./answer.js";
import { put, worded } from "./words.js";

const REASONS = [
  ["wrong", "slip.reason_wrong"],
  ["outdated", "slip.reason_outdated"],
  ["passages", "slip.reason_passages"],
  ["missing", "slip.reason_missing"],
  ["unclear", "slip.reason_unclear"],
  ["other", "slip.reason_other"],
];
const REFUSED = { 409: "slip.full", 429: "slip.too_many" };
const MOST_PASSAGES = 8;

const box = document.createElement("section");
box.className = "slip";
box.hidden = true;
let wasLeft = false; // a slip, in this session
let held = null; // the question, the passages and what a slip may hold

// Passes the events of an answer on, and offers a slip once it has ended.
export async function* withSlip(events, question, level) {
  clear();
  const noted = { ...question, passages: [], level };
  for await (const event of events) {
    if (event.type === "passages") {
      noted.passages = event.sources.map(({ source, passage }) => ({ source, passage }));
    }
    yield event;
    noted.nothing ||= event.type === "nothing_found";
    if (level !== "off" && ["done", "nothing_found"].includes(event.type)) offer(noted);
  }
}

// Whether a slip was left since this was asked last.
export function takeLeft() {
  const was = wasLeft;
  wasLeft = false;
  return was;
}

function offer(noted) {
  held = noted;
  const open = worded("button", noted.nothing ? "slip.button_missing" : "slip.button");
  open.type = "button";
  open.className = "plain";
  open.addEventListener("click", showForm);
  box.replaceChildren(open);
  const result = document.getElementById("result");
  if (!box.isConnected) {
    result.append(box);
    // Whatever ends the result ends the slip with it.
    new MutationObserver(() => result.hidden && clear()).observe(result, { attributeFilter: ["hidden"] });
  }
  box.hidden = result.hidden;
}

function clear() {
  held = null;
  box.replaceChildren();
  box.hidden = true;
}

function showForm() {
  const form = document.createElement("form");
  form.noValidate = true;
  form.autocomplete = "off";
  const title = worded("h2", "slip.title");
  title.tabIndex = -1;
  const choice = document.createElement("fieldset");
  choice.append(worded("legend", "slip.reason"), ...REASONS.map(([value, word]) => ticked("radio", "reason", value, word)));
  const problem = document.createElement("p");
  problem.className = "problem";
  problem.setAttribute("role", "alert");
  const buttons = document.createElement("div");
  buttons.className = "slip-buttons";
  const send = worded("button", "slip.send");
  send.className = "main-button";
  const cancel = worded("button", "slip.cancel");
  cancel.type = "button";
  cancel.className = "plain";
  cancel.addEventListener("click", () => {
    offer(held);
    box.querySelector("button").focus();
  });
  buttons.append(send, cancel);
  form.append(title, worded("p", "slip.privacy"), choice);
  if (held.level !== "reasons") form.append(ticked("checkbox", "question", "yes", "slip.question"));
  if (held.level === "words") form.append(...ownWords());
  form.append(problem, buttons);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    submit(form, problem);
  });
  box.replaceChildren(form);
  title.focus();
}

function ticked(type, name, value, word) {
  const label = document.createElement("label");
  label.className = "slip-choice";
  const input = Object.assign(document.createElement("input"), { type, name, value });
  label.append(input, worded("span", word));
  return label;
}

function ownWords() {
  const label = worded("label", "slip.words");
  label.htmlFor = "slip-words";
  const text = Object.assign(document.createElement("textarea"), { id: "slip-words", name: "words", rows: 2 });
  Object.assign(text, { maxLength: 400, spellcheck: false, autocomplete: "off" });
  return [label, text];
}

async function submit(form, problem) {
  const chosen = new FormData(form);
  if (!chosen.get("reason")) {
    put(problem, "slip.choose");
    form.querySelector("input").focus();
    return;
  }
  const slip = {
    service: held.service,
    language: held.language,
    reason: chosen.get("reason"),
    passages: held.passages.slice(0, MOST_PASSAGES),
  };
  if (chosen.get("question")) slip.question = held.question;
  if (chosen.get("words")?.trim()) slip.words = chosen.get("words").trim();
  const status = await post(slip);
  wasLeft ||= status === 200;
  if (!form.isConnected) return;
  if (status === 200) {
    const thanks = worded("p", "slip.sent");
    thanks.tabIndex = -1;
    box.replaceChildren(thanks);
    thanks.focus();
    announce(thanks.textContent);
    return;
  }
  put(problem, REFUSED[status] ?? "slip.failed");
}

async function post(slip) {
  try {
    const response = await fetch("/api/slip", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(slip),
    });
    return response.status;
  } catch {
    return 0;
  }
}
