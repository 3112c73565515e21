// The staff page: the code, documents in pieces, and how each change goes. Nothing is kept in the browser's storage;
// the token for changes is in this page's memory, and goes with it.

import { about } from "./kiosk.js";
import { fill, language, languageName, pick, put, quote, say, useLanguage, worded } from "./words.js";

const byId = (id) => document.getElementById(id);
const BUSY_MS = 700;
const CALM_MS = 15000;
const MOST_SHOWN = 200;
const CHANGES = { add: "staff.did_add", remove: "staff.did_remove", hide: "staff.did_hide", show: "staff.did_show" };
const PROBLEMS = {
  cannot: "staff.cannot",
  gone: "staff.gone",
  no_space: "staff.no_space",
  not_ready: "staff.not_ready",
  same: "staff.same",
  too_large: "staff.too_large",
  too_many: "staff.too_many",
  unreadable: "staff.unreadable",
  wrong_kind: "staff.wrong_kind",
};

let facts = null;
let token = "";
let state = null;
let local = []; // files that are copied or were refused before the kiosk had a job for them
let heard = new Map(); // what was said last of each job
let timer = 0;
let round = 0; // counts how often the page was closed: an answer that comes later shows nothing
let warning = ""; // the last change that could not be made
let documents = []; // as of the version in the state
let version = -1;
let drawn = ""; // the list of documents as it is on the page

// --- asking the kiosk --------------------------------------------------------------------------------------

async function call(method, path, body, raw = false) {
  const response = await fetch(`/api/staff${path}`, {
    method,
    headers: { "X-Staff-Token": token, ...(raw ? {} : { "Content-Type": "application/json" }) },
    body: raw ? body : method === "GET" ? undefined : JSON.stringify(body ?? {}),
  });
  const answer = await response.json().catch(() => ({}));
  if (response.ok) return answer;
  const error = new Error(answer.error?.code ?? "wrong");
  error.status = response.status;
  error.seconds = response.headers.get("Retry-After");
  throw error;
}

// --- words -------------------------------------------------------------------------------------------------

function setLanguage(code) {
  useLanguage(facts, code);
  document.title = say("staff.title");
  byId("title").textContent = pick(facts.title);
  byId("steward").textContent = facts.steward.name;
  for (const button of byId("languages").children) {
    button.setAttribute("aria-pressed", String(button.lang === language()));
  }
  if (state?.signed_in) draw();
}

function drawLanguages() {
  const buttons = facts.languages.map(({ code, direction }) => {
    const button = document.createElement("button");
    Object.assign(button, { type: "button", lang: code, dir: direction, textContent: languageName(code) });
    button.addEventListener("click", () => setLanguage(code));
    return button;
  });
  byId("languages").replaceChildren(...buttons);
  byId("languages").hidden = buttons.length < 2;
}

function announce(text) {
  const line = document.createElement("p");
  line.textContent = text;
  byId("announcer").replaceChildren(line);
}

function note(key, values = {}) {
  byId("note").hidden = !key;
  if (key) put(byId("note"), key, values);
}

function megabytes(bytes) {
  return new Intl.NumberFormat(language(), { maximumFractionDigits: 0 }).format(bytes / 1e6);
}

function problem(code, name, title = "") {
  const { limits, formats } = state;
  const size = megabytes(limits.file_bytes);
  const values = { name, title, size, count: limits.documents, formats: formats.join(", ") };
  return say(PROBLEMS[code] ?? "staff.wrong", values);
}

// --- signing in and out ------------------------------------------------------------------------------------

async function signIn(event) {
  event.preventDefault();
  const code = byId("code").value;
  byId("code-problem").textContent = "";
  if (!code.trim()) {
    byId("code").focus();
    return;
  }
  byId("enter").disabled = true;
  try {
    ({ token } = await call("POST", "/session", { code }));
    byId("code").value = "";
    note("");
    await refresh();
    byId("heading").focus();
  } catch (error) {
    byId("code").value = "";
    const key = error.message === "wait" ? "staff.code_wait" : error.status === 403 ? "staff.code_wrong" : "staff.wrong";
    byId("code-problem").textContent = say(key, { seconds: error.seconds ?? "" });
    byId("code").focus();
  } finally {
    byId("enter").disabled = false;
  }
}

function closeDesk() {
  clearTimeout(timer);
  round += 1;
  token = "";
  state = null;
  local = [];
  heard = new Map();
  warning = drawn = "";
  documents = [];
  version = -1;
  for (const id of ["jobs", "changes", "documents"]) byId(id).replaceChildren();
  note("");
  byId("note-detail").hidden = true;
  byId("filter").value = "";
  byId("desk").hidden = true;
  byId("end").hidden = true;
  byId("sign-in").hidden = false;
}

async function signOut() {
  await call("POST", "/session/end").catch(() => {});
  closeDesk();
  byId("code").focus();
}

function leave() {
  if (token) fetch("/api/staff/session/end", { method: "POST", keepalive: true }).catch(() => {});
  closeDesk();
}

// --- what is shown -----------------------------------------------------------------------------------------

async function refresh() {
  clearTimeout(timer);
  const begun = round;
  const found = await call("GET", "").catch(() => null);
  if (round !== begun) return;
  if (found && !found.signed_in) {
    if (state) {
      closeDesk();
      note("staff.idle");
      announce(say("staff.idle"));
      byId("code").focus();
    }
    if (!found.on) note("staff.off");
    byId("sign-in").hidden = !found.on;
    return;
  }
  if (found) {
    if (found.version !== version) {
      documents = await call("GET", "/documents").catch(() => documents);
      if (round !== begun) return;
      version = found.version;
    }
    const first = !state;
    state = found;
    token = found.token;
    byId("sign-in").hidden = true;
    byId("desk").hidden = false;
    byId("end").hidden = false;
    draw();
    tell(first);
  }
  const under = state?.jobs.some((job) => job.state !== "done" && job.state !== "failed");
  const busy = under || state?.refusal?.code === "not_ready";
  clearTimeout(timer);
  timer = setTimeout(refresh, busy ? BUSY_MS : CALM_MS);
}

function draw() {
  const { limits, formats, refusal, suffixes } = state;
  note(refusal ? (PROBLEMS[refusal.code] ?? "staff.wrong") : warning);
  byId("note-detail").textContent = refusal?.detail ?? "";
  byId("note-detail").hidden = !refusal?.detail;
  byId("files").disabled = Boolean(refusal);
  byId("files").accept = suffixes.join(",");
  byId("limits").textContent = say("staff.limits", {
    formats: formats.join(", "),
    size: megabytes(limits.file_bytes),
    count: limits.documents,
    used: limits.added,
    free: megabytes(limits.free_bytes),
  });
  drawJobs();
  drawChanges();
  drawDocuments();
}

function jobText(job) {
  const percent = job.total ? Math.min(99, Math.floor((100 * job.done) / job.total)) : 0;
  const values = { name: job.name, percent, title: job.title, count: job.passages };
  if (job.state === "failed") return problem(job.code, job.name, job.title);
  if (job.state === "done") return say("staff.added", values);
  if (job.state === "copying") return say("staff.copying", values);
  if (job.state === "indexing") return say("staff.indexing", values);
  return say(job.state === "reading" ? "staff.reading" : "staff.waiting", values);
}

// A job's element stays the same while it goes on, so that nothing jumps under a reader's eyes or screen reader.
function drawJobs() {
  const jobs = [...local, ...state.jobs].reverse();
  const list = byId("jobs");
  const items = jobs.map((job) => {
    const item = [...list.children].find((other) => other.dataset.job === String(job.number)) ?? jobItem(job);
    const [text, bar, detail] = item.children;
    text.textContent = jobText(job);
    text.classList.toggle("is-wrong", job.state === "failed");
    bar.hidden = job.state === "done" || job.state === "failed";
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
  item.append(document.createElement("p"), document.createElement("progress"), detail);
  return item;
}

// Heard once for each step, and every quarter of the way: not at every percent. What was there before one came is not.
function tell(silent = false) {
  const texts = [];
  for (const job of [...local, ...state.jobs]) {
    const step = job.total && job.state === "indexing" ? Math.floor((4 * job.done) / job.total) : 0;
    const now = `${job.state} ${step}`;
    if (heard.get(job.number) === now) continue;
    heard.set(job.number, now);
    texts.push(jobText(job));
  }
  if (!silent && texts.length) announce(texts.join(". "));
}

function drawChanges() {
  const items = state.changes.slice(0, 5).map(({ kind, title }) => {
    const item = document.createElement("li");
    item.textContent = say(CHANGES[kind], { title });
    return item;
  });
  byId("changes").replaceChildren(...items);
  byId("changes-part").hidden = !items.length;
}

function drawDocuments() {
  const wanted = byId("filter").value.trim().toLocaleLowerCase();
  const found = documents.filter(({ title, name }) => `${title}\n${name}`.toLocaleLowerCase().includes(wanted));
  const now = JSON.stringify([language(), wanted, version]);
  if (now === drawn) return;
  drawn = now;
  const focused = document.activeElement?.dataset.subject;
  byId("documents").replaceChildren(...found.slice(0, MOST_SHOWN).map(documentItem));
  if (focused !== undefined) {
    const again = [...byId("documents").querySelectorAll("button")].find((item) => item.dataset.subject === focused);
    (again ?? byId("list-title")).focus();
  }
  byId("more").hidden = found.length <= MOST_SHOWN;
  byId("more").textContent = say("staff.more", { count: found.length - MOST_SHOWN });
}

function documentItem(entry, at) {
  const item = document.createElement("li");
  item.classList.toggle("is-hidden", entry.hidden);
  const name = document.createElement("div");
  name.className = "document-name";
  const title = quote(document.createElement("bdi"), entry.title);
  title.className = "document-title";
  title.id = `document-${at}`;
  const kind = entry.hidden ? "staff.is_hidden" : entry.kind === "added" ? "staff.is_added" : "staff.is_bundled";
  const place = document.createElement("span");
  place.className = "document-facts";
  place.append(worded("span", kind), " · ", quote(document.createElement("bdi"), entry.name));
  name.append(title, place);
  const action = entry.kind === "added" ? "remove" : entry.hidden ? "show" : "hide";
  const button = worded("button", { remove: "staff.remove", hide: "staff.hide", show: "staff.show" }[action]);
  button.type = "button";
  button.className = "plain";
  button.setAttribute("aria-describedby", title.id);
  button.addEventListener("click", () => change(action, entry.subject, entry.title));
  item.append(name, button);
  button.dataset.subject = entry.subject;
  return item;
}

// --- changes -----------------------------------------------------------------------------------------------

async function change(kind, subject, title) {
  try {
    await call("POST", "/changes", { kind, subject });
    warning = "";
    announce(kind === "undo" ? say("staff.undone") : say(CHANGES[kind], { title }));
  } catch (error) {
    announceProblem(error);
  }
  await refresh();
}

function announceProblem(error) {
  warning = PROBLEMS[error.message] ?? "staff.wrong";
  announce(say(warning));
}

async function addFiles(files) {
  for (const file of files) await addFile(file);
}

async function addFile(file) {
  const job = { number: `file-${Date.now()}-${local.length}`, name: file.name, state: "copying", done: 0 };
  local.push({ ...job, total: file.size, title: "", code: "", passages: 0 });
  const own = local[local.length - 1];
  const show = () => {
    if (!state) return;
    drawJobs();
    tell();
  };
  if (!file.size) Object.assign(own, { state: "failed", code: "unreadable" });
  show();
  if (!file.size) return;
  try {
    const { upload, name } = await call("POST", "/uploads", { name: file.name, size: file.size });
    own.name = name;
    for (let at = 0; at < file.size; at += state.piece_bytes) {
      await call("PUT", `/uploads/${upload}?at=${at}`, file.slice(at, at + state.piece_bytes), true);
      own.done = Math.min(file.size, at + state.piece_bytes);
      show();
    }
    await call("POST", `/uploads/${upload}/end`);
    local = local.filter((other) => other !== own);
    await refresh();
  } catch (error) {
    if (!state) return;
    Object.assign(own, { state: "failed", code: error.message });
    show();
    if (error.status === 401) await refresh();
  }
}

function wireFiles() {
  const drop = byId("drop");
  byId("files").addEventListener("change", async () => {
    const files = [...byId("files").files];
    byId("files").value = "";
    await addFiles(files);
  });
  // A file dropped beside the field must not make the browser leave the page.
  for (const name of ["dragover", "drop"]) addEventListener(name, (event) => event.preventDefault());
  drop.addEventListener("dragover", () => drop.classList.add("is-over"));
  for (const name of ["dragleave", "drop"]) drop.addEventListener(name, () => drop.classList.remove("is-over"));
  drop.addEventListener("drop", (event) => {
    if (!byId("files").disabled) addFiles([...event.dataTransfer.files]);
  });
}

// --- start -------------------------------------------------------------------------------------------------

async function start() {
  try {
    facts = await about();
  } catch {
    byId("note").textContent = "The kiosk is not answering.";
    byId("note").hidden = false;
    return;
  }
  drawLanguages();
  setLanguage(facts.languages[0].code);
  fill(document);
  wireFiles();
  byId("sign-in").addEventListener("submit", signIn);
  byId("end").addEventListener("click", signOut);
  byId("undo").addEventListener("click", () => change("undo", "", ""));
  byId("filter").addEventListener("input", drawDocuments);
  addEventListener("pagehide", leave);
  addEventListener("pageshow", (event) => {
    if (event.persisted) location.reload();
  });
  byId("sign-in").hidden = false;
  await refresh();
  if (!byId("sign-in").hidden) byId("code").focus();
}

start();
