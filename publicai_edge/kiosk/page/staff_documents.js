// The list of all documents on the staff page, and what can be done with each.

import { language, put, quote, say, worded } from "./words.js";

const byId = (id) => document.getElementById(id);
const MOST_SHOWN = 200;
const ACTIONS = { remove: "staff.remove", delete: "staff.delete", hide: "staff.hide", show: "staff.show" };
const KINDS = { added: "staff.is_added", removed: "staff.is_removed", bundle: "staff.is_bundled" };
let documents = [];
let drawn = ""; // the list as it is on the page
let act = () => {};
let doomed = null; // the document that staff are asked about

// changed: called with what to do, the document's subject and its title.
export function wire(changed) {
  act = changed;
  byId("filter").addEventListener("input", drawDocuments);
  byId("keep").addEventListener("click", () => byId("deleting").close());
  byId("delete").addEventListener("click", () => {
    byId("deleting").close();
    act("delete", doomed.subject, doomed.title);
  });
}

export function forget() {
  documents = [];
  drawn = "";
  byId("documents").replaceChildren();
  byId("filter").value = "";
  byId("deleting").close();
  doomed = null;
  byId("deleting-text").textContent = "";
  for (const name of ["data-word", "data-title"]) byId("deleting-text").removeAttribute(name);
}

export function setDocuments(found) {
  documents = found;
  drawn = "";
}

export function drawDocuments() {
  const wanted = byId("filter").value.trim().toLocaleLowerCase();
  const found = documents.filter(({ title, name }) => `${title}\n${name}`.toLocaleLowerCase().includes(wanted));
  const now = JSON.stringify([language(), wanted]);
  if (now === drawn) return;
  drawn = now;
  const { subject, action } = document.activeElement?.dataset ?? {};
  byId("documents").replaceChildren(...found.slice(0, MOST_SHOWN).map(documentItem));
  if (subject !== undefined) {
    const same = [...byId("documents").querySelectorAll("button")].filter((item) => item.dataset.subject === subject);
    (same.find((item) => item.dataset.action === action) ?? same[0] ?? byId("list-title")).focus();
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
  const kind = entry.kind === "bundle" && entry.hidden ? "staff.is_hidden" : KINDS[entry.kind];
  const place = document.createElement("span");
  place.className = "document-facts";
  place.append(worded("span", kind), " · ", quote(document.createElement("bdi"), entry.name));
  name.append(title, place);
  const buttons = document.createElement("div");
  buttons.className = "document-buttons";
  buttons.append(...actions(entry).map((action) => button(action, entry, title.id)));
  item.append(name, buttons);
  return item;
}

function actions(entry) {
  if (entry.kind === "added") return ["remove", "delete"];
  if (entry.kind === "removed") return ["delete"];
  return [entry.hidden ? "show" : "hide"];
}

function button(action, entry, describedBy) {
  const made = worded("button", ACTIONS[action]);
  made.type = "button";
  made.className = "plain";
  Object.assign(made.dataset, { subject: entry.subject, action });
  made.setAttribute("aria-describedby", describedBy);
  made.addEventListener("click", () => {
    if (action === "delete") askBeforeDeleting(entry);
    else act(action, entry.subject, entry.title);
  });
  return made;
}

// The safe answer is the first, and has the focus.
function askBeforeDeleting(entry) {
  doomed = entry;
  put(byId("deleting-text"), "staff.delete_text", { title: entry.title });
  byId("deleting").showModal();
}
