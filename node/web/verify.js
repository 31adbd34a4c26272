// Checks what a show has published: that the key of a question was fixed before anybody answered, and that a
// raffle was drawn as its seed says. Everything is computed here, in the reader's own browser; what is to be
// checked stands in the address's fragment, which never reaches a server, or is typed.

import { announce, count, h, pageParameters, patch, plural } from "./common.js";
import { requestJson } from "./nodes.js";

const app = document.getElementById("app");
const asked = Object.fromEntries(pageParameters());
const state = { key: null, raffle: null };
/** What tells the key of a raffle: there is nothing to keep secret but its salt. */
const RAFFLE_KEY = "texts:draw";
const VOID = "But the hosts have set this round aside: whoever was drawn gets nothing.";

function start() {
  app.addEventListener("submit", (event) => (event.preventDefault(), event.target.dataset.check === "key" ? checkKeyForm() : checkRaffleForm()));
  draw();
  if (asked.commitment && asked.salt && asked.key) checkKeyForm();
  if (asked.pin && asked.raffle) fetchRecord();
}

// ---- What is checked ----

const hex = (buffer) => [...new Uint8Array(buffer)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
const sha256 = async (text) => hex(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
const clean = (text) => String(text ?? "").trim();

/** Whether a key is the one that was hidden behind the published hash. */
async function checkKey({ commitment, salt, key }) {
  const computed = await sha256(`${clean(salt)}:${clean(key)}`);
  const holds = computed === clean(commitment).toLowerCase();
  return [{ name: "commitment", holds, detail: `SHA-256 of "${clean(salt)}:${clean(key)}" is ${computed}` }];
}

/** Draws a raffle again from its record; `seen` is what this browser was shown before the salt was known. */
async function checkRaffle(record, seen) {
  const { salt, winners, tickets, drawn } = record;
  const ordered = [...tickets].sort();
  const list = await sha256(ordered.join("\n"));
  const checks = await checkKey({ commitment: seen.commitment || record.commitment, salt, key: RAFFLE_KEY });
  const isList = new Set(tickets).size === tickets.length && (!seen.tickets || seen.tickets === list);
  checks.push({ name: "tickets", holds: isList, detail: `${count(tickets.length)} tickets, all different; the hash of their list is ${list}` });
  if (seen.ticket) checks.push({ name: "own", holds: tickets.includes(seen.ticket), detail: `your ticket ${seen.ticket} is in the list` });
  const lots = await drawLots(await sha256(`${salt}:${list}`), ordered);
  const out = new Set(record.out ?? []);
  const won = lots.filter((ticket) => !out.has(ticket)).slice(0, winners);
  const isDrawn = won.length === drawn.length && won.every((ticket, place) => ticket === drawn[place]);
  checks.push({ name: "draw", holds: isDrawn, detail: `the smallest hashes under the seed are those of ${won.join(", ") || "nobody"}` });
  return checks;
}

/** All tickets, the smallest hash under the seed first. */
async function drawLots(seed, tickets) {
  const lots = await Promise.all(tickets.map(async (ticket) => [await sha256(`${seed}:${ticket}`), ticket]));
  return lots.sort(([a], [b]) => (a < b ? -1 : 1)).map(([, ticket]) => ticket);
}

/** What the key of an estimate means: so many steps from the smallest number of its scale. */
function estimated(key, scale) {
  const steps = /^number:(\d+)$/.exec(clean(key))?.[1];
  if (!steps || !scale) return null;
  try {
    const { min, step, unit } = JSON.parse(scale);
    const value = Number((min + Number(steps) * step).toFixed(3));
    return Number.isFinite(value) ? { value, words: `${clean(key)} = ${count(value)}${unit ? ` ${unit}` : ""}: ${plural(Number(steps), "step")} of ${step} from ${count(min)}` } : null;
  } catch {
    return null;
  }
}

// ---- What the reader does ----

const field = (name) => app.querySelector(`[name=${name}]`).value;

async function checkKeyForm() {
  const key = field("key");
  state.key = await judged(() => checkKey({ commitment: field("commitment"), salt: field("salt"), key }));
  // Of the round that the reader came from: what was fixed holds, and is not what points were given for.
  if (asked.corrected && clean(key) === asked.key) state.key.corrected = `But hosts have said since that this is right: ${asked.corrected}.`;
  told(state.key);
}

async function checkRaffleForm() {
  state.raffle = await judged(() => checkRaffle(readRecord(field("record")), asked));
  state.raffle.voided = isVoid(field("record"));
  told(state.raffle);
}

/** The node's record, for the reader to check here. */
async function fetchRecord() {
  try {
    const record = await requestJson("", `/api/v1/pins/${encodeURIComponent(asked.pin)}/raffle?instance=${encodeURIComponent(asked.raffle)}`);
    app.querySelector("[name=record]").value = JSON.stringify(record);
  } catch (refusal) {
    state.raffle = { holds: false, checks: [], error: refusal.message };
    return told(state.raffle);
  }
  await checkRaffleForm();
}

function readRecord(text) {
  const record = JSON.parse(text);
  const lists = [record.tickets, record.drawn];
  const isRecord = lists.every((list) => Array.isArray(list) && list.every((each) => typeof each === "string")) && typeof record.salt === "string";
  if (!isRecord) throw new Error("This is no record of a raffle: it needs salt, winners, tickets and drawn.");
  return record;
}

/** Whether a record says that the round is set aside: an honest draw may give nothing to anybody. */
function isVoid(text) {
  try {
    return JSON.parse(text)?.voided === true;
  } catch {
    return false;
  }
}

async function judged(check) {
  try {
    if (!globalThis.crypto?.subtle) throw new Error("This browser computes hashes on pages over https or from localhost only. On a command line: printf %s 'SALT:KEY' | sha256sum");
    const checks = await check();
    return { holds: checks.every((each) => each.holds), checks };
  } catch (error) {
    return { holds: false, checks: [], error: error.message };
  }
}

function told(verdict) {
  draw();
  announce([verdict.holds ? "It holds." : "It does not hold.", verdict.voided && VOID, verdict.corrected].filter(Boolean).join(" "));
}

// ---- Drawing ----

function draw() {
  patch(app, h("main", { class: "checks" }, h("h1", {}, "Check a show"), keyCard(), raffleCard()));
}

const line = (name, label, value) =>
  h("label", { class: "field" }, h("span", {}, label), h("input", { name, testid: name, autocomplete: "off", spellcheck: "false", value: value ?? "" }));

const keyCard = (meaning = estimated(asked.key, asked.scale)) =>
  h(
    "form",
    { class: "card give", "data-check": "key", "data-key": "key" },
    h("h2", {}, "The key of a question"),
    asked.question && h("p", { class: "lead", testid: "asked" }, asked.question),
    h("p", { class: "muted" }, "When a question opens, a hash over its key is published; with the reveal come the key and the salt that hid it. If they give that hash, the key was fixed before anybody answered."),
    line("commitment", "Hash that was published at the opening", asked.commitment),
    line("salt", "Salt", asked.salt),
    line("key", "Key", asked.key),
    meaning && h("p", { class: "muted", testid: "key-means", "data-value": meaning.value }, meaning.words),
    h("button", { class: "primary", testid: "check-key" }, "Check"),
    verdictView("key-verdict", state.key),
  );

const raffleCard = () =>
  h(
    "form",
    { class: "card give", "data-check": "draw", "data-key": "draw" },
    h("h2", {}, "The draw of a raffle"),
    h("p", { class: "muted" }, "The seed is a hash over a salt, whose own hash was published at the opening, and the list of all tickets. The tickets with the smallest hashes under it win."),
    h("label", { class: "field" }, h("span", {}, "The raffle's record"), h("textarea", { name: "record", testid: "record", rows: 6, spellcheck: "false" })),
    h("button", { class: "primary", testid: "check-raffle" }, "Check"),
    verdictView("raffle-verdict", state.raffle),
  );

function verdictView(testid, verdict) {
  if (!verdict) return null;
  const { holds, checks, error, voided, corrected } = verdict;
  const row = ({ name, holds: ok, detail }) => h("li", { testid: `check-of-${name}`, "data-key": name, "data-holds": String(ok) }, ok ? "✓ " : "✕ ", detail);
  return h(
    "div",
    { class: `notice ${holds ? "good" : "bad"}`, testid, "data-verdict": holds ? "holds" : "refused", "data-key": testid },
    h("p", {}, h("b", {}, holds ? "It holds." : "It does not hold.")),
    error && h("p", {}, error),
    voided && h("p", { testid: "draw-voided" }, h("b", {}, VOID)),
    corrected && h("p", { testid: "key-corrected" }, h("b", {}, corrected)),
    h("ul", { class: "proofs" }, checks.map(row)),
  );
}

start();
