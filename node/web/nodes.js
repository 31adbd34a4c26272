// Talking HTTP to a cluster in which any node will do: errors that carry their hint, the list of
// nodes with the one in use, and an event stream that moves on when its node is gone.

import { backoffMs, parseJson, pause } from "./common.js";

// ---- HTTP ----

/** A clear no from a node, or from the way to it (`code` is then `unreachable`). */
export class Refusal extends Error {
  constructor({ code, message, hint, stage }) {
    super(message);
    Object.assign(this, { code, hint, stage });
  }

  /** True where asking another node may help. */
  get isTransport() {
    return this.code === "unreachable";
  }
}

const unreachable = (base) =>
  new Refusal({ code: "unreachable", message: `${base} does not answer`, hint: "Another node is tried." });

async function refusalOf(response, base) {
  if (response.status >= 502 && response.status <= 504) return unreachable(base);
  const body = await response.json().catch(() => ({}));
  const fallback = { code: `http_${response.status}`, message: `${base} answered ${response.status}` };
  const refusal = new Refusal(body.error ?? fallback);
  refusal.stage ??= body.stage;
  return refusal;
}

const withToken = (token) => (token ? { authorization: `Bearer ${token}` } : {});

/** JSON from a node. @throws Refusal */
export async function requestJson(base, path, { token, body, timeoutMs = 3000 } = {}) {
  const options = { headers: withToken(token), signal: AbortSignal.timeout(timeoutMs), cache: "no-store" };
  if (body !== undefined) {
    Object.assign(options, { method: "POST", body: JSON.stringify(body) });
    options.headers["content-type"] = "application/json";
  }
  const response = await fetch(base + path, options).catch(() => {
    throw unreachable(base);
  });
  if (!response.ok) throw await refusalOf(response, base);
  return response.json().catch(() => {
    throw unreachable(base);
  });
}

/** A file from a node, which may take it some time to make. @throws Refusal */
export async function requestFile(base, path, token) {
  const options = { headers: withToken(token), signal: AbortSignal.timeout(60000), cache: "no-store" };
  const response = await fetch(base + path, options).catch(() => {
    throw unreachable(base);
  });
  if (!response.ok) throw await refusalOf(response, base);
  return response.blob().catch(() => {
    throw unreachable(base);
  });
}

// ---- Nodes ----

/** The nodes that can serve an event, and which of them is in use. Starts with the page's own. */
export class NodeList {
  constructor() {
    this.nodes = [{ name: location.host, http: location.origin }];
    this.current = this.nodes[0];
  }

  /** Takes a node's list; the current node keeps its place under the name it has there. */
  learn(nodes) {
    if (!nodes?.length) return;
    this.nodes = nodes;
    this.current = nodes.find((node) => node.http === this.current.http) ?? this.current;
  }

  /** Every node once, the current one first. */
  inTurn() {
    const at = this.nodes.findIndex((node) => node.http === this.current.http);
    const after = [...this.nodes.slice(at + 1), ...this.nodes.slice(0, Math.max(0, at))];
    return [this.current, ...after];
  }

  /** Moves to the node after the current one. */
  next() {
    this.current = this.inTurn()[1] ?? this.current;
  }

  /** Makes the node with this base URL current. */
  pick(http) {
    this.current = this.nodes.find((node) => node.http === http) ?? this.current;
  }
}

// ---- Server-sent events ----

const OPEN_TIMEOUT_MS = 3000;
const SILENCE_MS = 8000;

/**
 * One event stream that moves from node to node by itself.
 *
 * It reads the stream with fetch and not with EventSource: a refusal can be read, the token stays
 * out of URLs and logs, and a node that hangs without closing is noticed by asking its /livez.
 */
export class EventStream {
  /** `on` has data(view), state(word) and refused(refusal), which returns true to go on trying. */
  constructor({ path, name, token, nodes, on }) {
    Object.assign(this, { path, name, token, nodes, on, attempt: 0, stopped: false });
    this.run();
  }

  /** Ends it for good. */
  stop() {
    this.stopped = true;
    this.abort?.abort();
  }

  /** Leaves the current node for the next, or for the one that `nodes` was just told to use. */
  move({ picked = false } = {}) {
    this.picked = picked;
    this.abort?.abort();
  }

  async run() {
    while (!this.stopped) {
      this.abort = new AbortController();
      this.picked = false;
      this.on.state("connecting");
      const refusal = await this.follow(this.nodes.current.http).then(() => null, (error) => error);
      if (this.stopped) return;
      if (refusal instanceof Refusal && !refusal.isTransport && !this.on.refused(refusal)) return;
      if (this.picked) continue;
      this.nodes.next();
      this.on.state("connecting");
      this.abort = new AbortController();
      await pause(backoffMs(this.attempt++), this.abort.signal);
    }
  }

  async follow(base) {
    const { signal } = this.abort;
    const opening = setTimeout(() => this.abort.abort(), OPEN_TIMEOUT_MS);
    const headers = { accept: "text/event-stream", ...withToken(this.token) };
    const response = await fetch(base + this.path, { headers, signal, cache: "no-store" }).finally(() =>
      clearTimeout(opening),
    );
    if (!response.ok) throw await refusalOf(response, base);
    this.heardAt = performance.now();
    const watch = setInterval(() => this.probe(base), SILENCE_MS / 4);
    try {
      await this.read(response.body.pipeThrough(new TextDecoderStream()).getReader());
    } finally {
      clearInterval(watch);
    }
  }

  async probe(base) {
    if (this.probing || performance.now() - this.heardAt < SILENCE_MS) return;
    this.probing = true;
    const { abort } = this;
    const alive = await fetch(`${base}/livez`, { signal: AbortSignal.timeout(OPEN_TIMEOUT_MS) })
      .then((response) => response.ok)
      .catch(() => false);
    this.probing = false;
    if (alive) this.heardAt = performance.now();
    else abort.abort();
  }

  async read(reader) {
    let text = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      this.heardAt = performance.now();
      // A long event comes in many pieces: only the last one is looked through for its end.
      if (!value.includes("\n")) {
        text += value;
        continue;
      }
      const blocks = (text + value).replaceAll("\r\n", "\n").split("\n\n");
      text = blocks.pop();
      for (const block of blocks) this.take(block);
    }
  }

  take(block) {
    const lines = block.split("\n");
    const field = (key) =>
      lines
        .filter((line) => line.startsWith(`${key}:`))
        .map((line) => line.slice(key.length + 1).replace(/^ /, ""))
        .join("\n");
    const data = field("data");
    if (data === "" || field("event") !== this.name) return;
    const view = parseJson(data);
    if (view === null) return;
    this.attempt = 0;
    this.on.state("online");
    this.on.data(view);
  }
}
