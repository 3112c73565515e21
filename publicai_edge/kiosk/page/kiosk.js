// What the page asks the kiosk. A question travels in a request's body only.

const LONGEST_END_MS = 5000;
let ending = null; // the last patron's end of session: the next one's question waits for it

async function read(path) {
  const response = await fetch(path);
  if (!response.ok) throw new Error(String(response.status));
  return response.json();
}

export const about = () => read("/api/kiosk");
export const status = () => read("/api/status");
export const readDocument = (source) =>
  read("/api/documents/" + source.split("/").map(encodeURIComponent).join("/"));

function post(path, body, options = {}) {
  return fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
    ...options,
  });
}

// keepalive lets it arrive even when the page is being left. A kiosk that says nothing for long has not confirmed.
export async function endSession() {
  ending = post("/api/session/end", {}, { keepalive: true, signal: AbortSignal.timeout(LONGEST_END_MS) });
  return (await ending).ok;
}

// Returns { text }, or { code, retry_after } where it was not written down.
export async function dictate(samples, language, signal) {
  await ending?.catch(() => {});
  const response = await post(`/api/dictation?language=${encodeURIComponent(language)}`, null, {
    headers: { "Content-Type": "application/octet-stream" },
    body: samples,
    signal,
  });
  if (response.ok) return response.json();
  const { error } = await response.json().catch(() => ({ error: {} }));
  return { code: error?.code ?? "failed", retry_after: response.headers.get("Retry-After") };
}

// Returns a sentence as a voice of the kiosk says it, a WAV file.
export async function speak(text, language, signal) {
  await ending?.catch(() => {});
  const response = await post("/api/speech", { language, text }, { signal });
  if (!response.ok) throw new Error(String(response.status));
  return response.arrayBuffer();
}

// Yields the events of an answer, one JSON object a line.
export async function* ask(question, signal) {
  await ending?.catch(() => {});
  const response = await post("/api/ask", question, { signal });
  if (!response.ok) {
    const { error } = await response.json().catch(() => ({ error: {} }));
    yield { type: "error", code: error?.code, retry_after: response.headers.get("Retry-After") };
    return;
  }
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) if (line) yield JSON.parse(line);
  }
}
