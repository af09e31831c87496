// The page's side of the interface: requests, the stream, the token.

const KEPT = "crossfer.token";

/**
 * What the service says is wrong, by the last part of its problem type; "unreachable" if it says nothing,
 * "foreign-answer" if something else speaks in its place.
 */
export class Problem extends Error {
  constructor(name, detail = "") {
    super(detail);
    this.name = name;
  }
}

let token = remembered();

function remembered() {
  try {
    return sessionStorage.getItem(KEPT);
  } catch {
    return null; // a browser may forbid it
  }
}

export function setToken(given) {
  token = given;
  try {
    sessionStorage.setItem(KEPT, given);
  } catch {
    // then it is remembered until the page is left
  }
}

async function call(path, options = {}) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  let response, values;
  try {
    response = await fetch(path, { ...options, headers });
    values = await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(error.name === "SyntaxError" ? "foreign-answer" : "unreachable");
  }
  if (response.ok) return values;
  throw new Problem(String(values.type ?? "internal").split(":").pop(), values.detail);
}

export const models = () => call("v1/models");

function query({ coverage, abstain, evidence }) {
  const wanted = new URLSearchParams({ evidence, abstain });
  if (coverage) wanted.set("coverage", coverage);
  return wanted;
}

/** The faces in an image file. */
export async function recognize(file, wish, signal) {
  const form = new FormData();
  form.append("image", file, file.name ?? "image");
  const answer = await call(`v1/recognize?${query(wish)}`, { method: "POST", body: form, signal });
  return answer.images[0];
}

/**
 * What the service says where streams are to a request that names the page's site, as a stream does and the
 * request for models does not: the problem, or null if there is none but that the request is no stream.
 */
export function streamProblem() {
  return call("v1/stream", { method: "POST" }).then(
    () => null,
    (error) => (error.name === "upgrade-required" ? null : error),
  );
}

/**
 * A stream that sends a frame whenever the one before it is answered. It opens once `before` has come, so that
 * the stream it follows has given its place free. onLost(opened): it ended by itself, opened or not.
 */
export class Stream {
  constructor(wish, handlers, before) {
    this.closed = false;
    /** Comes when the stream is over, or was closed before it opened. */
    this.over = before.then(() => (this.closed ? undefined : this.#open(wish, handlers)));
  }

  #open(wish, { nextFrame, onAnswer, onLost }) {
    const address = new URL(`v1/stream?${query(wish)}`, location.href);
    address.protocol = address.protocol.replace("http", "ws");
    const hex = [...new TextEncoder().encode(token ?? "")].map((byte) => byte.toString(16).padStart(2, "0"));
    const protocols = ["crossfer.v1", ...(token ? [`crossfer.token.${hex.join("")}`] : [])];
    this.socket = new WebSocket(address, protocols);
    let opened = false;
    const send = async () => {
      const frame = await nextFrame();
      if (!this.closed && this.socket.readyState === WebSocket.OPEN) {
        this.sent = performance.now();
        this.socket.send(frame);
      }
    };
    this.socket.onopen = () => {
      opened = true;
      if (this.closed) this.socket.close();
      else send();
    };
    this.socket.onmessage = (event) => {
      if (this.closed) return;
      onAnswer(JSON.parse(event.data), performance.now() - this.sent);
      send();
    };
    return new Promise((resolve) => {
      this.socket.onclose = () => {
        resolve();
        if (!this.closed) onLost(opened);
      };
    });
  }

  /** Ends it; one that is about to open is let open first, since the service may have given it a place. */
  close() {
    this.closed = true;
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.close();
  }
}
