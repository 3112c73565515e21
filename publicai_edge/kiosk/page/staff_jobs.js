// Documents on their way in: copied piece by piece, then read and indexed by the kiosk, each a line with its progress.

import { call } from "./staff_api.js";
import { problem } from "./staff_words.js";
import { put, say } from "./words.js";

const byId = (id) => document.getElementById(id);
const OVER = ["done", "erased", "failed"];
let local = []; // files that are copied or were refused before the kiosk had a job for them
let heard = new Map(); // what was said last of each job
let dismissed = new Set(); // jobs that staff have read about

export function forget() {
  local = [];
  heard = new Map();
  dismissed = new Set();
  byId("jobs").replaceChildren();
}

export const isUnderWay = (state) => state.jobs.some((job) => !OVER.includes(job.state));

function text(state, job) {
  const percent = job.total ? Math.min(99, Math.floor((100 * job.done) / job.total)) : 0;
  const values = { name: job.name, percent, title: job.title, count: job.passages };
  switch (job.state) {
    case "failed":
      return problem(state, job.code, job.name, job.title);
    case "done":
      return say("staff.added", values);
    case "erasing":
      return say("staff.erasing", values);
    case "erased":
      return say("staff.erased", values);
    case "copying":
      return say("staff.copying", values);
    case "indexing":
      return say("staff.indexing", values);
    case "reading":
      return say("staff.reading", values);
    default:
      return say("staff.waiting", values);
  }
}

// A job's element stays the same while it goes on, so that nothing jumps under a reader's eyes or screen reader.
export function drawJobs(state) {
  const jobs = [...local, ...state.jobs].filter((job) => !dismissed.has(job.number)).reverse();
  const list = byId("jobs");
  const items = jobs.map((job) => {
    const item = [...list.children].find((other) => other.dataset.job === String(job.number)) ?? jobItem(job);
    const [line, bar, detail, button] = item.children;
    button.hidden = !OVER.includes(job.state);
    line.textContent = text(state, job);
    line.classList.toggle("is-wrong", job.state === "failed");
    bar.hidden = OVER.includes(job.state);
    if (job.total) Object.assign(bar, { max: job.total, value: job.done });
    else bar.removeAttribute("value");
    bar.setAttribute("aria-label", job.name);
    detail.textContent = job.detail ?? "";
    detail.hidden = !job.detail;
    return item;
  });
  if (items.length !== list.children.length || items.some((item, at) => list.children[at] !== item)) {
    list.replaceChildren(...items);
  }
}

function jobItem(job) {
  const item = document.createElement("li");
  item.dataset.job = job.number;
  const detail = document.createElement("p");
  detail.className = "job-detail";
  detail.lang = "en"; // the reader's own words
  detail.dir = "auto";
  const line = document.createElement("p");
  line.id = `job-${job.number}`;
  const button = document.createElement("button");
  Object.assign(button, { type: "button", className: "link-button" });
  button.setAttribute("aria-describedby", line.id);
  put(button, "staff.dismiss");
  button.addEventListener("click", () => dismiss(job.number, item));
  item.append(line, document.createElement("progress"), detail, button);
  return item;
}

function dismiss(number, item) {
  const next = (item.nextElementSibling ?? item.previousElementSibling)?.querySelector("button:not([hidden])");
  dismissed.add(number);
  item.remove();
  (next ?? byId("drop").querySelector("input")).focus();
}

// What is to be heard: each step once, and every quarter of the way, not every percent.
export function news(state) {
  const texts = [];
  for (const job of [...local, ...state.jobs]) {
    const step = job.total && job.state === "indexing" ? Math.floor((4 * job.done) / job.total) : 0;
    const now = `${job.state} ${step}`;
    if (heard.get(job.number) === now) continue;
    heard.set(job.number, now);
    texts.push(text(state, job));
  }
  return texts;
}

// Copies a file to the kiosk. changed: called after each step. Returns whether the kiosk has it.
export async function send(file, pieceBytes, changed) {
  const own = { number: `file-${Date.now()}-${local.length}`, name: file.name, state: "copying", done: 0 };
  Object.assign(own, { total: file.size, title: "", code: "", passages: 0 });
  local.push(own);
  const fail = (code) => {
    Object.assign(own, { state: "failed", code });
    changed();
  };
  if (!file.size) {
    fail("empty");
    return false;
  }
  changed();
  try {
    const { upload, name } = await call("POST", "/uploads", { name: file.name, size: file.size });
    own.name = name;
    for (let at = 0; at < file.size; at += pieceBytes) {
      await call("PUT", `/uploads/${upload}?at=${at}`, file.slice(at, at + pieceBytes), true);
      own.done = Math.min(file.size, at + pieceBytes);
      changed();
    }
    await call("POST", `/uploads/${upload}/end`);
  } catch (error) {
    fail(error.message);
    return error.status === 401; // signed out meanwhile: the kiosk tells more
  }
  local = local.filter((other) => other !== own);
  return true;
}
