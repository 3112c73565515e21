// The passages that were found, as cards, and a whole document to read one in its place.

import * as speech from "./speech.js";
import { exact, fill, language, quote, worded } from "./words.js";

const byId = (id) => document.getElementById(id);

// Where in the document: a heading in the document's language, a page in the reader's.
function place(source) {
  const parts = [];
  if (source.heading) parts.push(inline(source.heading, source.language));
  if (source.page) parts.push(worded("span", "passages.page", { page: source.page }));
  return parts.length > 1 ? [parts[0], " · ", parts[1]] : parts;
}

function inline(text, code) {
  return quote(document.createElement("bdi"), text, code);
}

function card(source, openDocument) {
  const item = document.createElement("li");
  item.className = "passage";
  item.id = `passage-${source.number}`;
  item.tabIndex = -1;

  const number = document.createElement("span");
  number.className = "passage-number";
  number.textContent = source.number;
  const title = document.createElement("h3");
  title.append(inline(source.document, source.language));
  const where = document.createElement("p");
  where.className = "passage-place";
  where.append(...place(source));
  const text = quote(document.createElement("blockquote"), source.text.replace(/\n\s*\n/g, "\n"), source.language);
  text.id = `passage-text-${source.number}`;

  const more = worded("button", "passages.more");
  more.type = "button";
  more.className = "link-button passage-more";
  more.setAttribute("aria-expanded", "false");
  more.setAttribute("aria-controls", text.id);
  more.addEventListener("click", () => expand(item, !item.classList.contains("is-open")));

  const read = worded("button", "passages.read");
  read.type = "button";
  read.className = "link-button";
  read.setAttribute("aria-describedby", `${item.id}-title`);
  title.id = `${item.id}-title`;
  read.addEventListener("click", () => openDocument(source, read));

  const aloud = worded("button", "aloud.read");
  aloud.type = "button";
  aloud.className = "link-button";
  aloud.setAttribute("aria-describedby", title.id);
  const code = exact(source.language) || language(); // what it was when this was asked
  speech.offer(aloud, () => code, () => {
    if (isCut(item)) expand(item, true);
    return speech.sentences(source.text, code);
  });

  const buttons = document.createElement("div");
  buttons.className = "passage-buttons";
  buttons.append(more, read, aloud);
  item.append(number, title, where, text, buttons);
  return item;
}

function isCut(item) {
  const text = item.querySelector("blockquote");
  return text.scrollHeight > text.clientHeight + 2;
}

function expand(item, open) {
  item.classList.toggle("is-open", open);
  const more = item.querySelector(".passage-more");
  more.dataset.word = open ? "passages.less" : "passages.more";
  more.setAttribute("aria-expanded", String(open));
  fill(item);
}

export function showPassages(sources, openDocument) {
  const list = byId("passages");
  list.replaceChildren(...sources.map((source) => card(source, openDocument)));
  hideNeedlessButtons();
}

// "Show the whole passage" is there only where the text is cut.
export function hideNeedlessButtons() {
  for (const item of byId("passages").children) {
    item.querySelector(".passage-more").hidden = !isCut(item) && !item.classList.contains("is-open");
  }
}

export function goToPassage(number) {
  const item = byId(`passage-${number}`);
  if (!item) return;
  for (const other of byId("passages").children) other.classList.toggle("is-cited", other === item);
  if (isCut(item)) expand(item, true);
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  item.scrollIntoView({ block: "nearest", behavior: calm ? "auto" : "smooth" });
  item.focus({ preventScroll: true });
}

export function showDocument(content, passage) {
  quote(byId("document-title"), content.title, content.passages[0].language);
  const parts = [];
  let heading = "";
  for (const item of content.passages) {
    if (item.heading && item.heading !== heading) {
      heading = item.heading;
      parts.push(quote(document.createElement("h2"), heading, item.language));
    }
    const text = quote(document.createElement("p"), item.text, item.language);
    parts.push(item.passage === passage ? found(text) : text);
  }
  byId("document-text").replaceChildren(...parts);
}

function found(text) {
  const box = document.createElement("div");
  box.className = "is-found";
  box.id = "found";
  box.tabIndex = -1;
  const note = worded("strong", "document.found");
  note.className = "found-note";
  box.append(note, text);
  return box;
}

export function clearPassages() {
  speech.stop();
  byId("passages").replaceChildren();
  speech.refresh();
  byId("document-title").textContent = "";
  byId("document-text").replaceChildren();
}
