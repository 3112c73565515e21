// The page's words: filled into the document by key, in the language chosen.
// Everything is set as text; nothing on this page is ever set as HTML.

let words = {};
let chosen = "en";

export function language() {
  return chosen;
}

export function useLanguage(code, direction, table) {
  chosen = code;
  words = table;
  document.documentElement.lang = code;
  document.documentElement.dir = direction;
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
  for (const element of root.querySelectorAll("[data-word]")) {
    element.textContent = say(element.dataset.word, element.dataset);
  }
  for (const element of root.querySelectorAll("[data-label]")) {
    element.setAttribute("aria-label", say(element.dataset.label, element.dataset));
  }
}

// An element that knows its word, so that it changes with the language.
export function worded(tag, key, values = {}) {
  const element = document.createElement(tag);
  element.dataset.word = key;
  Object.assign(element.dataset, values);
  element.textContent = say(key, values);
  return element;
}
