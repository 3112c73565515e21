// Warns staff before the kiosk signs them out, and lets them stay. The kiosk counts; this shows what it told last.

import { call } from "./staff_api.js";
import { put, say } from "./words.js";

const byId = (id) => document.getElementById(id);
const WARNING_SECONDS = 60;
let end = null; // when the session is over, in this page's time; null while nobody is signed in

// refresh: asks the kiosk how things are. leave: signs out.
export function wire(refresh, leave) {
  put(byId("idle-end"), "staff.leave");
  const stay = async () => {
    setLeft(null); // until the kiosk has told anew
    await call("POST", "/session/stay").catch(() => {});
    await refresh();
  };
  byId("idle-stay").addEventListener("click", stay);
  byId("idle").addEventListener("cancel", stay);
  byId("idle-end").addEventListener("click", leave);
  setInterval(() => show(refresh), 1000);
}

// seconds: how long the session lasts unless something is done; null where there is none.
export function setLeft(seconds) {
  end = seconds === null ? null : Date.now() + 1000 * seconds;
  if (seconds === null || seconds > WARNING_SECONDS) byId("idle").close();
}

function show(refresh) {
  if (end === null) return;
  const left = Math.ceil((end - Date.now()) / 1000);
  if (left > WARNING_SECONDS) return;
  if (left <= 0) {
    refresh();
    return;
  }
  // The countdown is shown every second and heard once, when the dialog opens.
  byId("idle-text").textContent = say("staff.idle_soon", { seconds: left });
  if (!byId("idle").open) byId("idle").showModal();
}
