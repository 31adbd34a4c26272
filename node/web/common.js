// Helpers that every page shares: building and patching the DOM, words, storage, waiting, countdowns.
//
// Nothing here knows what a question is (frame.js and engagement/ do) or talks to a node (nodes.js does over
// HTTP, mqtt.js over MQTT).

// ---- DOM ----

const SVG_TAGS = new Set(["svg", "path", "circle", "g"]);

/** An element. `attrs.testid` is short for data-testid, `attrs.css` sets custom properties. */
export function h(tag, attrs = {}, ...children) {
  const node = SVG_TAGS.has(tag)
    ? document.createElementNS("http://www.w3.org/2000/svg", tag)
    : document.createElement(tag);
  for (const [name, value] of Object.entries(attrs)) setAttribute(node, name, value);
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

function setAttribute(node, name, value) {
  if (value === null || value === undefined || value === false) return;
  if (name === "testid") node.setAttribute("data-testid", value);
  else if (name === "css") for (const [key, v] of Object.entries(value)) node.style.setProperty(key, v);
  else node.setAttribute(name, value === true ? "" : value);
}

/**
 * Makes `target`'s children equal to `children` while keeping every element that stays: focus,
 * running transitions and text selection survive a redraw. Elements are matched by tag and
 * data-key; what stands below an element with data-live belongs to `tick` and is left alone.
 */
export function patch(target, ...children) {
  const wanted = h("div", {}, ...children);
  patchChildren(target, wanted);
}

function patchChildren(target, wanted) {
  let old = target.firstChild;
  for (const fresh of [...wanted.childNodes]) {
    const match = findMatch(old, fresh);
    if (match === null) {
      target.insertBefore(fresh, old);
      continue;
    }
    while (old !== match) old = dropAndStep(target, old);
    old = match.nextSibling;
    patchNode(match, fresh);
  }
  while (old !== null) old = dropAndStep(target, old);
}

function findMatch(old, fresh) {
  for (let node = old; node !== null; node = node.nextSibling) {
    if (node.nodeName === fresh.nodeName && node.dataset?.key === fresh.dataset?.key) return node;
  }
  return null;
}

function dropAndStep(target, node) {
  const next = node.nextSibling;
  target.removeChild(node);
  return next;
}

function patchNode(old, fresh) {
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  if (fresh.hasAttribute("data-live")) return Object.assign(old.dataset, fresh.dataset);
  for (const { name } of [...old.attributes]) {
    const isOwn = name === "style" || (name === "open" && old.tagName === "DETAILS"); // the reader opened it
    if (!isOwn && !fresh.hasAttribute(name)) old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (name !== "style" && old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  if (old.style.cssText !== fresh.style.cssText) old.style.cssText = fresh.style.cssText;
  if (old.tagName !== "INPUT") patchChildren(old, fresh);
}

/** Says a change of state to screen readers, once. */
export function announce(text) {
  const region = document.getElementById("announcer");
  if (region.textContent !== text) region.textContent = text;
}

/** Runs `handlers[data-action]` for every click inside `root`, now and after every patch. */
export function onActions(root, handlers) {
  root.addEventListener("click", (event) => {
    const button = event.target.closest("[data-action]");
    if (button === null || button.disabled) return;
    handlers[button.dataset.action]?.(button);
  });
}

// ---- Words and numbers ----

const numbers = new Intl.NumberFormat("en");

/** 12345 as 12,345. */
export const count = (n) => numbers.format(n);

/** "1 player", "2 players". */
export const plural = (n, word) => `${count(n)} ${word}${n === 1 ? "" : "s"}`;

const lists = new Intl.ListFormat("en", { type: "conjunction" });

/** Several words, as one says them: "A", "A and C", "A, C, and E". */
export const list = (words) => lists.format(words);

/** What a node says, as a sentence: its texts begin small and end without a mark. */
export function asSentence(text) {
  if (!text) return "";
  return text[0].toUpperCase() + text.slice(1) + (/[.!?…]$/.test(text) ? "" : ".");
}

/** A PIN with only what can be part of it. */
export const cleanPin = (text) => (text ?? "").replace(/\D/g, "");

/** A PIN in two halves, easier to read aloud. */
export function spacedPin(pin) {
  const half = Math.ceil(pin.length / 2);
  return pin.length < 5 ? pin : `${pin.slice(0, half)} ${pin.slice(half)}`;
}

/** A length of time in seconds with one decimal. */
export const seconds = (ms) => `${(ms / 1000).toFixed(1)} s`;

/** The query's and the fragment's parameters together; the fragment never reaches a server. */
export function pageParameters() {
  const all = new URLSearchParams(location.search);
  for (const [key, value] of new URLSearchParams(location.hash.slice(1))) all.set(key, value);
  return all;
}

/** What a text says in JSON, or null where it says nothing. */
export function parseJson(text) {
  try {
    return JSON.parse(text ?? null);
  } catch {
    return null;
  }
}

/** What `key` holds in a storage, or null: storage may be full, forbidden or from elsewhere. */
export function recall(storage, key) {
  try {
    return parseJson(storage.getItem(key));
  } catch {
    return null;
  }
}

/** Keeps a value in a storage, or forgets it; without storage the page works until its reload. */
export function remember(storage, key, value) {
  try {
    if (value === null) storage.removeItem(key);
    else storage.setItem(key, JSON.stringify(value));
  } catch {
    // Private windows may refuse; nothing but a resume after reload depends on it.
  }
}

// ---- Waiting ----

/** Full jitter: anything between nothing and the doubled step, so that a crowd spreads out. */
export const backoffMs = (attempt, step = 200, max = 5000) =>
  Math.random() * Math.min(max, step * 2 ** Math.min(attempt, 10));

/** A pause that ends early when `signal` aborts. */
export const pause = (ms, signal) =>
  new Promise((done) => {
    const timer = setTimeout(done, ms);
    signal?.addEventListener("abort", () => (clearTimeout(timer), done()), { once: true });
  });

// ---- Countdowns ----

/**
 * Turns `remaining_ms` of arriving views, or in a lobby that counts down `starts_in_ms`, into one deadline on this page's own clock. A view that
 * was slow on its way claims too much time, so within one opening the earliest deadline holds.
 */
export class Deadline {
  /** The deadline in `performance.now()` terms, or null while no time runs. */
  at = null;
  /** How long it was when it was first heard of, in milliseconds. */
  length = 0;

  take(view, source = "") {
    const left = { open: view.remaining_ms, lobby: view.starts_in_ms }[view.stage.phase] ?? null;
    if (left === null) {
      this.key = null;
      return (this.at = null);
    }
    const key = `${source}/${view.stage.instance}/${view.question?.open_ms}`;
    const at = performance.now() + left;
    if (this.key !== key) Object.assign(this, { key, at, length: left });
    this.at = Math.min(this.at, at);
    return this.at;
  }
}

/** A countdown ring; `startTicking` keeps it right. */
export function countdown(deadline, openMs) {
  const attrs = { class: "countdown", testid: "countdown", role: "timer", "data-live": true };
  attrs["data-deadline"] = Math.round(deadline);
  attrs["data-length"] = openMs;
  const ring = h("svg", { viewBox: "0 0 100 100", "aria-hidden": "true" });
  ring.append(
    h("circle", { class: "track", cx: 50, cy: 50, r: 44 }),
    h("circle", { class: "left", cx: 50, cy: 50, r: 44, pathLength: 100 }),
  );
  const node = h("div", attrs, ring, h("span", { class: "number" }, ""));
  tickOne(node);
  return node;
}

const SPOKEN_SECONDS = [10, 5];

function tickOne(node) {
  const left = Math.max(0, Number(node.dataset.deadline) - performance.now());
  const whole = Math.ceil(left / 1000);
  const share = Math.min(1, left / Number(node.dataset.length));
  node.style.setProperty("--share", share.toFixed(4));
  node.classList.toggle("urgent", whole <= 5);
  const number = node.querySelector(".number");
  if (number.textContent === String(whole)) return;
  number.textContent = String(whole);
  number.classList.toggle("long", whole > 99);
  node.setAttribute("aria-label", plural(whole, "second") + " left");
  if (node.isConnected && SPOKEN_SECONDS.includes(whole)) announce(`${whole} seconds left`);
}

/** Keeps every countdown on the page right. */
export function startTicking() {
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  const tick = () => {
    document.querySelectorAll(".countdown").forEach(tickOne);
    setTimeout(tick, calm.matches ? 500 : 100);
  };
  tick();
}
