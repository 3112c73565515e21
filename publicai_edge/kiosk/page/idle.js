// Watches whether anybody is there; asks, and then ends the session.

import { say } from "./words.js";

const WARNING_SECONDS = 60;

// minutes: from the bundle. hasContent: whether there is anything to wipe. end: called when nobody answers.
export function watchIdle(minutes, hasContent, end) {
  const dialog = document.getElementById("idle");
  const text = document.getElementById("idle-text");
  const limit = minutes * 60;
  const warning = Math.min(WARNING_SECONDS, limit / 2);
  let last = Date.now();

  const active = () => {
    if (!dialog.open) last = Date.now();
  };
  for (const name of ["pointerdown", "keydown", "input", "scroll", "touchmove"]) {
    addEventListener(name, active, { passive: true, capture: true });
  }

  function stay() {
    last = Date.now();
    if (dialog.open) dialog.close();
  }
  document.getElementById("idle-stay").addEventListener("click", stay);
  dialog.addEventListener("cancel", stay);

  setInterval(() => {
    if (!hasContent()) {
      stay();
      return;
    }
    const left = Math.ceil(limit - (Date.now() - last) / 1000);
    if (left <= 0) {
      dialog.close();
      end();
    } else if (left <= warning) {
      // The countdown is shown every second and heard once, when the dialog opens.
      text.textContent = say("idle.text", { seconds: left });
      if (!dialog.open) dialog.showModal();
    }
  }, 1000);

  return { active, stay };
}
