// The bar at the top, of the patron's page and of the staff page: whose kiosk it is, and in which languages.

import { language, languageName, pick } from "./words.js";

const byId = (id) => document.getElementById(id);

// What changes with the language.
export function drawTop(facts) {
  byId("title").textContent = pick(facts.title);
  byId("steward").textContent = facts.steward.name;
  for (const button of byId("languages").children) {
    button.setAttribute("aria-pressed", String(button.lang === language()));
  }
}

// choose: called with the code of the language that was pressed.
export function drawLanguages(facts, choose) {
  const buttons = facts.languages.map(({ code, direction }) => {
    const button = document.createElement("button");
    button.type = "button";
    button.lang = code;
    button.dir = direction;
    button.textContent = languageName(code);
    button.addEventListener("click", () => choose(code));
    return button;
  });
  byId("languages").replaceChildren(...buttons);
  byId("languages").hidden = buttons.length < 2;
}
