// The staff page: signing in and out, what the kiosk tells, and changes. Nothing is kept in the browser's storage.

import { about } from "./kiosk.js";
import * as sight from "./sight.js";
import { call, isSignedIn, signOutOnLeaving, useToken } from "./staff_api.js";
import * as documents from "./staff_documents.js";
import * as idle from "./staff_idle.js";
import * as jobs from "./staff_jobs.js";
import { megabytes, problemKey } from "./staff_words.js";
import { drawLanguages, drawTop } from "./top.js";
import { fill, put, say, useLanguage } from "./words.js";

const byId = (id) => document.getElementById(id);
const BUSY_MS = 700;
const CALM_MS = 15000;
const CHANGES = { add: "staff.did_add", remove: "staff.did_remove", hide: "staff.did_hide", show: "staff.did_show" };

let facts = null;
let state = null; // what the kiosk told last
let timer = 0;
let round = 0; // counts how often the page was closed: an answer that comes later shows nothing
let warning = ""; // the last change that could not be made
let version = -1; // of the list of documents

// --- words -------------------------------------------------------------------------------------------------

function setLanguage(code) {
  useLanguage(facts, code);
  document.title = say("staff.title");
  drawTop(facts);
  if (state?.signed_in) draw();
}

function announce(text) {
  const line = document.createElement("p");
  line.textContent = text;
  byId("announcer").replaceChildren(line);
}

function note(key) {
  byId("note").hidden = !key;
  if (key) put(byId("note"), key);
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
    useToken((await call("POST", "/session", { code })).token);
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
  useToken("");
  state = null;
  warning = "";
  version = -1;
  jobs.forget();
  documents.forget();
  idle.setLeft(null);
  byId("changes").replaceChildren();
  note("");
  byId("note-detail").hidden = true;
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
  signOutOnLeaving();
  closeDesk();
}

// --- what is shown -----------------------------------------------------------------------------------------

async function refresh() {
  clearTimeout(timer);
  const begun = round;
  const found = await call("GET", "").catch(() => null);
  if (round !== begun) return;
  if (found && !found.signed_in) {
    showSignedOut(found.on);
    return;
  }
  if (found) {
    if (found.version !== version) {
      const list = await call("GET", "/documents").catch(() => null);
      if (round !== begun) return;
      if (list) {
        documents.setDocuments(list);
        version = found.version;
      }
    }
    showDesk(found);
  }
  const busy = state && (jobs.isUnderWay(state) || state.refusal?.code === "not_ready");
  clearTimeout(timer);
  timer = setTimeout(refresh, busy ? BUSY_MS : CALM_MS);
}

function showSignedOut(isOn) {
  if (isSignedIn()) {
    closeDesk();
    note("staff.idle");
    announce(say("staff.idle"));
    byId("code").focus();
  }
  if (!isOn) note("staff.off");
  byId("sign-in").hidden = !isOn;
}

function showDesk(found) {
  const first = !state; // what was there before one came is not announced
  state = found;
  useToken(found.token);
  idle.setLeft(found.idle_left);
  byId("sign-in").hidden = true;
  byId("desk").hidden = false;
  byId("end").hidden = false;
  draw();
  const news = jobs.news(state);
  if (!first && news.length) announce(news.join(". "));
}

function draw() {
  const { limits, formats, refusal, suffixes } = state;
  note(refusal ? problemKey(refusal.code) : warning);
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
  jobs.drawJobs(state);
  drawChanges();
  documents.drawDocuments();
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

// --- changes -----------------------------------------------------------------------------------------------

async function change(kind, subject = "", title = "") {
  try {
    await call("POST", "/changes", { kind, subject });
    warning = "";
    if (kind !== "delete") announce(kind === "undo" ? say("staff.undone") : say(CHANGES[kind], { title }));
  } catch (error) {
    warning = problemKey(error.message);
    announce(say(warning));
  }
  await refresh();
}

async function addFiles(files) {
  const show = () => {
    if (!state) return;
    idle.setLeft(state.idle_seconds);
    jobs.drawJobs(state);
    const news = jobs.news(state);
    if (news.length) announce(news.join(". "));
  };
  for (const file of files) {
    if (state && (await jobs.send(file, state.piece_bytes, show))) await refresh();
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
  put(byId("end"), "staff.leave");
  drawLanguages(facts, setLanguage);
  setLanguage(facts.languages[0].code);
  fill(document);
  sight.wire(() => {});
  wireFiles();
  documents.wire(change);
  idle.wire(refresh, signOut);
  byId("sign-in").addEventListener("submit", signIn);
  byId("end").addEventListener("click", signOut);
  byId("undo").addEventListener("click", () => change("undo"));
  addEventListener("pagehide", leave);
  addEventListener("pageshow", (event) => {
    if (event.persisted) location.reload();
  });
  byId("sign-in").hidden = false;
  await refresh();
  if (!byId("sign-in").hidden) byId("code").focus();
}

start();
