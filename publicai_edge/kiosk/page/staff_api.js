// What the staff page asks the kiosk. The token for changes is in this page's memory, and goes with it.

let token = "";

export function useToken(given) {
  token = given;
}

export const isSignedIn = () => token !== "";

export async function call(method, path, body, raw = false) {
  const response = await fetch(`/api/staff${path}`, {
    method,
    headers: { "X-Staff-Token": token, ...(raw ? {} : { "Content-Type": "application/json" }) },
    body: raw ? body : method === "GET" ? undefined : JSON.stringify(body ?? {}),
  });
  const answer = await response.json().catch(() => ({}));
  if (response.ok) return answer;
  const error = new Error(answer.error?.code ?? "wrong");
  error.status = response.status;
  error.seconds = response.headers.get("Retry-After");
  throw error;
}

// Also while the page is being left.
export function signOutOnLeaving() {
  if (token) fetch("/api/staff/session/end", { method: "POST", keepalive: true }).catch(() => {});
}
