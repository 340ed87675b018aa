// The server, as the page asks it.

export class ApiError extends Error {
  constructor(status, body) {
    super(body?.error?.message ?? `the server answered ${status}`);
    this.status = status;
    this.code = body?.error?.code ?? "";
    this.param = body?.error?.param ?? null;
  }
}

let askToken = null;
/** Who is asked for the token where one is needed. */
export const onToken = (ask) => { askToken = ask; };

async function ask(method, path, { json, body, headers = {}, signal } = {}) {
  const send = { method, headers: { ...headers }, signal, credentials: "same-origin" };
  if (json !== undefined) {
    send.headers["Content-Type"] = "application/json";
    send.body = JSON.stringify(json);
  } else if (body !== undefined) {
    send.body = body;
  }
  const response = await fetch(path, send);
  if (response.ok) return response.json();
  const answer = await response.json().catch(() => null);
  if (response.status === 401 && answer?.error?.code === "token_needed" && askToken) {
    await askToken();
    return ask(method, path, { json, body, headers, signal });
  }
  throw new ApiError(response.status, answer);
}

export const get = (path, more) => ask("GET", path, more);
export const post = (path, json = {}, more = {}) => ask("POST", path, { json, ...more });
export const remove = (path) => ask("DELETE", path);

const PIECE = 8 << 20;
const wait = (ms) => new Promise((done) => setTimeout(done, ms));

/** Sends a file in pieces; what broke off goes on where it was, also after the page was closed. */
export async function upload(file, told, signal) {
  const key = `upload:${file.name}:${file.size}:${file.lastModified}`;
  let at = null;
  const known = localStorage.getItem(key);
  if (known) at = await get(`/v1/uploads/${known}`).catch(() => null);
  if (!at) {
    at = await post("/v1/uploads", { filename: file.name, bytes: file.size });
    localStorage.setItem(key, at.id);
  }
  let failures = 0;
  for (;;) {
    signal?.throwIfAborted();
    told(at.offset, at.bytes);
    try {
      const piece = file.slice(at.offset, at.offset + PIECE);
      at = await ask("PATCH", `/v1/uploads/${at.id}`, {
        body: piece, signal,
        headers: { "Upload-Offset": String(at.offset), "Content-Type": "application/octet-stream" },
      });
      failures = 0;
      if (at.file) {
        localStorage.removeItem(key);
        told(at.bytes, at.bytes);
        return at.file;
      }
    } catch (error) {
      if (signal?.aborted) {
        localStorage.removeItem(key);
        await remove(`/v1/uploads/${at.id}`).catch(() => {});
        throw error;
      }
      // The disk is full, the file is gone: trying again is no use.
      if (error instanceof ApiError && ![0, 408, 409, 500, 502, 503].includes(error.status)) {
        if (error.status === 404) localStorage.removeItem(key);
        throw error;
      }
      failures += 1;
      if (failures > 30) throw error;
      await wait(Math.min(500 * failures, 10000));
      at = await get(`/v1/uploads/${at.id}`).catch(() => at);
    }
  }
}

/**
 * Hears of every change in the queue; the line is taken up again where it breaks. A page that nobody looks at doesn't hold one: browsers
 * have few for each server.
 */
export function listen({ video, deleted, all, state }) {
  let source = null;
  const open = () => {
    source?.close();
    source = new EventSource("/v1/events");
    source.addEventListener("video", (event) => video(JSON.parse(event.data)));
    source.addEventListener("deleted", (event) => deleted(JSON.parse(event.data).id));
    source.addEventListener("ready", (event) => all(JSON.parse(event.data).ids));
    source.addEventListener("open", () => state(true));
    source.addEventListener("error", () => {
      state(false);
      // A browser gives up where the answer isn't a stream.
      if (source.readyState === EventSource.CLOSED) setTimeout(() => { if (!document.hidden) open(); }, 3000);
    });
  };
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) { source?.close(); source = null; } else if (!source) open();
  });
  open();
}
