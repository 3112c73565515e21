// Larger letters and strong contrast: attributes of the document for as long as a session lasts, kept nowhere else.

const SETTINGS = { large: ["text", "large"], contrast: ["contrast", "high"] };
const root = document.documentElement;

function set(id, on) {
  const [name, value] = SETTINGS[id];
  if (on) root.dataset[name] = value;
  else delete root.dataset[name];
  document.getElementById(id).setAttribute("aria-pressed", String(on));
}

export function isChanged() {
  return Object.values(SETTINGS).some(([name]) => name in root.dataset);
}

export function reset() {
  for (const id of Object.keys(SETTINGS)) set(id, false);
}

// changed: called after a patron pressed one of the two.
export function wire(changed) {
  for (const [id, [name]] of Object.entries(SETTINGS)) {
    document.getElementById(id).addEventListener("click", () => {
      set(id, !(name in root.dataset));
      changed();
    });
  }
}
