// The operator's page. It asks every few seconds and writes what changed into elements that stay: the focus, the
// reader's place and a selection are left alone, and only a change of the summary is announced.

const byId = (id) => document.getElementById(id);
const EVERY_MS = 4000;
const STATES = {
  ready: "operator.state_ready",
  loading: "operator.state_loading",
  restarting: "operator.state_restarting",
  opening: "operator.state_loading",
  failed: "operator.state_failed",
  closed: "operator.state_closed",
  none: "operator.state_none",
};
const AHEAD = {
  full: "operator.ahead_full",
  failed: "operator.ahead_failed",
};
const SIGNATURES = {
  unsigned: "operator.unsigned",
  strange: "operator.strange",
  broken: "operator.broken",
};

let tables = {};
let language = "en";
let last = null; // what was told last, and when it arrived
let paused = false;
let timer = 0;

function say(key, values = {}) {
  const text = tables[language]?.words[key] ?? tables.en?.words[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => String(values[name] ?? whole));
}

// An element whose text stays the same is left alone: a screen reader would begin anew.
function put(id, text) {
  const element = byId(id);
  if (element.textContent !== text) element.textContent = text;
}

// --- figures as the language writes them ---------------------------------------------------------------------------

const number = (value, options = {}) => new Intl.NumberFormat(language, options).format(value);
const known = (value, show) => (value === null || value === undefined ? say("operator.unknown") : show(value));
const unit = (value, name, digits = 0) =>
  number(value, { style: "unit", unit: name, unitDisplay: "short", maximumFractionDigits: digits });
const gigabytes = (bytes) => unit(bytes / 1e9, "gigabyte", 1);
const moment = (text) => {
  const time = new Date(text);
  if (Number.isNaN(time.getTime())) return say("operator.unknown");
  return new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" }).format(time);
};
const day = (text) => new Intl.DateTimeFormat(language, { dateStyle: "medium", timeZone: "UTC" }).format(new Date(text));

function span(seconds) {
  const parts = [
    [Math.floor(seconds / 86400), "day"],
    [Math.floor(seconds / 3600) % 24, "hour"],
    [Math.floor(seconds / 60) % 60, "minute"],
  ].filter(([count]) => count > 0);
  const shown = parts.length ? parts.slice(0, 2) : [[seconds, "second"]];
  return shown.map(([count, name]) => unit(count, name)).join(" ");
}

function readAhead({ state, done, all }) {
  const share = number(all ? Math.floor((100 * done) / all) / 100 : 1, { style: "percent" });
  return state in AHEAD ? say(AHEAD[state], { share }) : share;
}

// --- what is shown -------------------------------------------------------------------------------------------------

function draw() {
  if (!last) return;
  const { bundle, model, documents, answering, counts, slips, machine } = last;
  const title = bundle.title[language] ?? Object.values(bundle.title)[0] ?? "";
  document.title = `${title}: ${say("operator.title")}`;
  put("title", title);
  put("model-name", `${model.name}, ${model.quantization}`);
  put("model-state", [say(STATES[model.state] ?? "operator.unknown"), model.note].filter(Boolean).join(". "));
  put("restarts", number(model.restarts));
  put("documents-state", say(STATES[documents.state] ?? "operator.unknown"));
  put("documents-extent", say("operator.documents_extent", {
    documents: number(documents.documents),
    passages: number(documents.passages),
  }));
  byId("ahead-row").hidden = !documents.ahead;
  if (documents.ahead) put("ahead", readAhead(documents.ahead));
  put("busy", say("operator.of", { count: number(answering.busy), all: number(answering.slots) }));
  put("waiting", number(answering.waiting));
  put("uptime", span(last.uptime_seconds));
  for (const name of ["answered", "cancelled", "refused", "failed"]) put(name, number(counts[name]));
  put("slips", known(slips?.count, (count) => say("operator.of", { count: number(count), all: number(slips.most) })));
  put("celsius", known(machine.celsius, (value) => unit(value, "celsius")));
  put("memory", known(machine.memory_total, (total) =>
    say("operator.of", { count: gigabytes(machine.memory_available), all: gigabytes(total) })));
  const others = ["memory_worker", "memory_zim", "memory_dictation", "memory_voices"].map((name) => machine[name] ?? 0);
  put("memory-kiosk", known(machine.memory_web, (web) => gigabytes(others.reduce((sum, each) => sum + each, web))));
  drawBundle(bundle);
  drawSummary();
}

function drawBundle(bundle) {
  put("bundle-name", bundle.name);
  put("version", bundle.version);
  put("steward", bundle.steward);
  put("signed", bundle.signature === "signed" ? bundle.signers.join(", ") : say(SIGNATURES[bundle.signature]));
  const until = bundle.valid_until ? day(bundle.valid_until) : say("operator.no_end");
  put("valid", bundle.expired ? `${until}. ${say("operator.expired")}` : until);
  put("changed", known(bundle.changed, ({ time, action, version }) => {
    const key = action === "installed" ? "operator.installed" : "operator.rolled_back";
    return `${moment(time)}: ${say(key, { version })}`;
  }));
  put("digest", bundle.digest ?? say("operator.unknown"));
}

function drawSummary(reachable = true) {
  const concerns = [...last.troubles];
  const { bundle } = last;
  const bad = !reachable || concerns.length > 0 || bundle.signature === "broken" || bundle.expired || bundle.clock_wrong;
  const own = [];
  if (bundle.signature === "broken") own.push(say("operator.broken"));
  if (bundle.expired) own.push(say("operator.expired"));
  if (bundle.clock_wrong) own.push(say("operator.clock_wrong"));
  const ready = last.model.state === "ready" && ["ready", "none"].includes(last.documents.state);
  const word = bad ? "operator.attention" : ready ? "operator.well" : "operator.starting";
  put("summary", reachable ? [say(word), ...own].join(" ") : say("operator.unreachable"));
  byId("summary").classList.toggle("bad", bad);
  put("as-of", say("operator.as_of", { time: moment(last.now) }));
  const list = byId("troubles");
  list.hidden = !concerns.length;
  if ([...list.children].map((item) => item.textContent).join("\n") !== concerns.join("\n")) {
    list.replaceChildren(...concerns.map((text) => Object.assign(document.createElement("li"), { textContent: text })));
  }
}

function useLanguage(code) {
  language = tables[code] ? code : "en";
  document.documentElement.lang = language;
  document.documentElement.dir = tables[language]?.direction ?? "ltr";
  for (const element of document.querySelectorAll("[data-word]")) element.textContent = say(element.dataset.word);
  draw();
}

// --- asking --------------------------------------------------------------------------------------------------------

async function read(path) {
  const response = await fetch(path);
  if (!response.ok) throw new Error(String(response.status));
  return response.json();
}

async function refresh() {
  clearTimeout(timer);
  try {
    last = await read("/api/operator-status");
    draw();
  } catch {
    if (last) drawSummary(false);
    else put("summary", say("operator.unreachable"));
  }
  if (!paused) timer = setTimeout(refresh, EVERY_MS);
}

function pause() {
  paused = !paused;
  byId("pause").setAttribute("aria-pressed", String(paused));
  clearTimeout(timer);
  if (!paused) refresh();
}

function nameOf(code) {
  try {
    return new Intl.DisplayNames([code], { type: "language" }).of(code);
  } catch {
    return code;
  }
}

async function start() {
  try {
    tables = await read("/api/operator-words");
  } catch {
    // The English words are on the page already.
  }
  const options = Object.keys(tables).map((code) => {
    const option = new Option(nameOf(code), code);
    option.lang = code;
    return option;
  });
  byId("language").replaceChildren(...options);
  const wanted = navigator.languages.map((tag) => tag.split("-")[0]);
  useLanguage(wanted.find((tag) => tables[tag]) ?? "en");
  byId("language").value = language;
  byId("language").addEventListener("change", () => useLanguage(byId("language").value));
  byId("pause").addEventListener("click", pause);
  await refresh();
}

start();
