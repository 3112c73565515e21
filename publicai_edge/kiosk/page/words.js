// The page's words: filled into the document by key, in the language chosen.
// Everything is set as text; nothing on this page is ever set as HTML.

let words = {};
let chosen = "en";
let borrowed = ""; // the language of the words, where it is not the page's: there is no file for that one
let several = false;

export function language() {
  return chosen;
}

// facts: what the kiosk says of itself.
export function useLanguage(facts, code) {
  const entry = facts.languages.find((item) => item.code === code) ?? facts.languages[0];
  const base = (tag) => tag.toLowerCase().split("-")[0];
  chosen = entry.code;
  words = facts.words[chosen];
  borrowed = base(entry.words) === base(chosen) ? "" : entry.words;
  several = facts.languages.length > 1;
  document.documentElement.lang = chosen;
  document.documentElement.dir = entry.direction;
  fill(document);
}

export function say(key, values = {}) {
  const text = words[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => String(values[name] ?? whole));
}

// A bundle's own words come as {language: text}.
export function pick(table) {
  return table[chosen] ?? table[chosen.split("-")[0]] ?? Object.values(table)[0] ?? "";
}

export function languageName(code) {
  try {
    const name = new Intl.DisplayNames([code], { type: "language" }).of(code);
    return name.charAt(0).toLocaleUpperCase(code) + name.slice(1);
  } catch {
    return code;
  }
}

export function fill(root) {
  for (const element of root.querySelectorAll("[data-word]")) refill(element);
  for (const element of root.querySelectorAll("[data-label]")) {
    element.setAttribute("aria-label", say(element.dataset.label, element.dataset));
  }
}

// Gives an element its word, which changes with the language.
export function put(element, key, values = {}) {
  for (const name of Object.keys(element.dataset)) delete element.dataset[name];
  Object.assign(element.dataset, { word: key, ...values });
  refill(element);
}

function refill(element) {
  element.textContent = say(element.dataset.word, element.dataset);
  for (const name of ["lang", "dir"]) element.removeAttribute(name);
  if (borrowed) Object.assign(element, { lang: borrowed, dir: "auto" });
}

export function worded(tag, key, values = {}) {
  const element = document.createElement(tag);
  put(element, key, values);
  return element;
}

// Sets a document's text. code: its language, "" where that is not known: a kiosk that speaks one is then taken to hold
// documents in that one, and elsewhere a screen reader is told so. The letters say in which direction they run.
export function quote(element, text, code = "") {
  element.textContent = text;
  element.dir = "auto";
  if (code) element.lang = exact(code);
  else if (several) element.lang = "";
  else element.removeAttribute("lang");
  return element;
}

// The chosen language where that is the same one, since it also tells script and region ("zh-Hant").
export function exact(code) {
  return code === chosen.toLowerCase().split("-")[0] ? chosen : code;
}
