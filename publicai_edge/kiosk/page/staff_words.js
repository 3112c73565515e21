// How the staff page says what went wrong, and how large something is.

import { language, say } from "./words.js";

const PROBLEMS = {
  cannot: "staff.cannot",
  empty: "staff.empty",
  gone: "staff.gone",
  no_space: "staff.no_space",
  not_erased: "staff.not_erased",
  not_ready: "staff.not_ready",
  same: "staff.same",
  too_large: "staff.too_large",
  too_many: "staff.too_many",
  unreadable: "staff.unreadable",
  wrong_kind: "staff.wrong_kind",
};

export const problemKey = (code) => PROBLEMS[code] ?? "staff.wrong";

export function megabytes(bytes) {
  return new Intl.NumberFormat(language(), { maximumFractionDigits: 0 }).format(bytes / 1e6);
}

// state: what the kiosk told last.
export function problem(state, code, name, title = "") {
  const { limits, formats } = state;
  const size = megabytes(limits.file_bytes);
  return say(problemKey(code), { name, title, size, count: limits.documents, formats: formats.join(", ") });
}
