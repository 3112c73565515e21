// What the kiosk says of itself, drawn in the language chosen: names, services, and what stands behind it.

import { drawTop } from "./top.js";
import { pick, say } from "./words.js";

const byId = (id) => document.getElementById(id);

// What changes with the language and holds no word of a patron.
export function drawNames(facts) {
  drawTop(facts);
  const person = pick(facts.steward.ask_a_person);
  byId("person").textContent = person;
  byId("nothing-person").textContent = person;
  byId("foot-line").textContent = [facts.steward.name, facts.model.name, facts.model.license].join(" · ");
  drawAbout(facts);
}

// open: called with the service that was pressed.
export function drawServices(facts, open) {
  const items = facts.services.map((offered) => {
    const item = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    const title = document.createElement("span");
    title.className = "service-name";
    title.textContent = pick(offered.title);
    const text = document.createElement("span");
    text.textContent = pick(offered.description);
    button.append(title, text);
    button.addEventListener("click", () => open(offered));
    item.append(button);
    return item;
  });
  byId("services").replaceChildren(...items);
  byId("to-services").hidden = items.length < 2;
}

function drawAbout(facts) {
  const { steward, model, embedding, dictation, voices, documents, name, version } = facts;
  const rows = [
    [say("about.steward"), `${steward.name}. ${steward.contact}`],
    [say("about.model"), `${model.name}, ${model.quantization}, ${model.license}`],
  ];
  if (embedding) rows.push([say("about.search"), `${embedding.name}, ${embedding.quantization}, ${embedding.license}`]);
  if (dictation) rows.push([say("about.dictation"), `${dictation.name}, ${dictation.license}`]);
  for (const voice of voices) rows.push([say("aloud.read"), `${voice.name}, ${voice.license}`]);
  if (documents) rows.push([say("about.documents"), say("about.documents_text", documents)]);
  for (const item of facts.zim) rows.push([item.name, `${item.license}, ${item.license_url}`]);
  rows.push([say("about.offline"), say("about.offline_text")]);
  rows.push([say("about.bundle"), `${name} ${version}`]);
  for (const offered of facts.services) {
    rows.push([say("about.prompt", { service: pick(offered.title) }), pick(offered.prompt)]);
  }
  const elements = rows.flatMap(([term, text]) => {
    const left = document.createElement("dt");
    left.textContent = term;
    const right = document.createElement("dd");
    right.textContent = text;
    return [left, right];
  });
  byId("about").replaceChildren(...elements);
  byId("staff").hidden = !facts.staff;
}
