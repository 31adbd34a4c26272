// The player's page: join, answer, see what became of it.
//
// What must survive a reload lies in local storage: the player's own id, the token with the list of
// nodes, and the last answer until it is acknowledged. What arrives, in whatever order, only changes
// the state; player-view.js draws it.

import { announce, asSentence, cleanPin, onActions, patch, plural, recall, remember, startTicking } from "./common.js";
import { befriend, lookForFriends, unfriend } from "./player-friends.js";
import { requestJson } from "./nodes.js";
import { BrokerLink } from "./broker-link.js";
import { Link } from "./link.js";
import { onKind, pageView, stakeWords, verdictWord } from "./player-view.js";
import { asked, deadline, isFrozen, opening, revised, seen, state } from "./player-state.js";
import { ticketOf } from "./proof.js";
import { sentence } from "./frame.js";
import { kindOf } from "./engagement/kinds.js";

const PLAYER_KEY = "starling.player";
const SESSION_KEY = "starling.session";
const HINT_WAIT_MS = 1500;
const RESUME_TRIES_MAX = 6;
const VOUCHED_KEY = "starling.vouched";
/** How the ids of players end for whom a platform vouches. */
const VOUCHED_END = "c105ed1d";

const app = document.getElementById("app");
let link = null;
let resumeTries = 0;
const vouched = vouchedToken();

function start() {
  startTicking();
  onActions(app, { choose, submit: submitChoices, send: sendButton, tap, react, team: chooseTeam, unfriend: onUnfriend, leave });
  onKind(draw);
  app.addEventListener("submit", (event) => (event.preventDefault(), onSubmit(event.target)));
  brokerUrls(); // while a name is typed
  document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && link?.hurry());
  addEventListener("online", () => link?.hurry());
  // A page that is left may be kept for a way back, its connection with it. Whoever comes back to it connects again.
  addEventListener("pagehide", () => link?.connection?.close("the page was left"));
  setInterval(() => isHeldBack() && draw(), LOOK_MS);
  const saved = recall(localStorage, SESSION_KEY);
  if (saved?.token && (asked === "" || asked === saved.pin)) resume(saved);
  else {
    draw();
    if (vouched && asked !== "") join();
  }
}

function onSubmit(form) {
  if (form.dataset.kind) return giveForm(form);
  if (form.dataset.form === "friend") return onBefriend(form);
  return join();
}

/** Between two looks at where the stream is. */
const LOOK_MS = 100;

const isHeldBack = () => state.live?.stage.phase === "open" && state.live.question?.media_ms !== undefined && opening.shown.instance !== state.live.stage.instance;

// ---- Joining ----

/** The platform's token, if the page was opened with one: it leaves the address at once and stays in this tab. */
function vouchedToken() {
  const given = new URLSearchParams(location.hash.slice(1));
  const token = given.get("token");
  if (token === null) return recall(sessionStorage, VOUCHED_KEY);
  given.delete("token");
  const rest = given.toString();
  history.replaceState(null, "", location.pathname + location.search + (rest && `#${rest}`));
  remember(sessionStorage, VOUCHED_KEY, token);
  return token;
}

/** Who the player is: what the platform's token says, else this browser's own id in this show. */
const whoAmI = async (pin) => (vouched ? (await requestJson("", "/api/v1/me", { token: vouched })).player : playerId(pin));

/**
 * This browser's own id, made once for each show: 128 random bits, known to nobody but that show's hosts, who can do
 * nothing with it in another one.
 */
function playerId(pin) {
  const key = `${PLAYER_KEY}.${pin}`;
  const known = recall(localStorage, key);
  if (/^[0-9a-f]{32}$/.test(known)) return known;
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  const fresh = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  remember(localStorage, key, fresh);
  return fresh;
}

/**
 * Where pages are to connect instead of the nodes, as this page's node tells: the addresses of a broker, none where
 * there is no such broker, null where nobody tells.
 */
function brokerUrls() {
  asking ??= requestJson("", "/api/v1/edge").then((edge) => edge.broker).catch(() => (asking = null));
  return asking;
}

let asking = null;

async function join() {
  const { form } = state;
  form.pin = cleanPin(app.querySelector("[name=pin]").value);
  form.name = app.querySelector("[name=name]").value.trim();
  if (form.pin === "") return refuseForm({ message: "Type the PIN that the screen shows." });
  if (form.name === "" && !vouched) return refuseForm({ message: "Type the name that others will see." });
  Object.assign(form, { busy: true, error: null });
  const { pin, name } = form;
  let player, broker;
  try {
    [player, broker] = await Promise.all([whoAmI(pin), brokerUrls()]);
  } catch (refusal) {
    return refuseForm(refusal);
  }
  const ask = player.endsWith(VOUCHED_END) && broker?.length ? { pin, token: vouched, name } : { pin, player, name };
  connect({ pin, player, broker, request: () => (state.session ? { token: state.session.token } : ask) });
  if (!broker?.length) learnNodes(pin);
}

async function resume(saved) {
  state.session = saved;
  state.answer = saved.answer ?? null;
  opening.shown = saved.shown ?? opening.shown;
  draw();
  const broker = (await brokerUrls()) ?? saved.broker;
  const { pin, player, nodes, inbox } = saved;
  if (state.session === saved) connect({ pin, player, nodes, broker, inbox, request: () => ({ token: state.session.token }) });
}

function connect({ pin, player, nodes, broker, inbox, request }) {
  link?.stop();
  resumeTries = 0;
  const password = () => (player.endsWith(VOUCHED_END) ? (state.session?.token ?? vouched) : undefined);
  const LinkOf = broker?.length ? BrokerLink : Link;
  const mine = new LinkOf({ pin, player, nodes, broker, inbox, request, password, on: {
    state: (word, node) => link === mine && showLink(word, node),
    message: (topic, message) => link === mine && message && receive(topic, message),
    answered: (ack) => link === mine && connectAnswered(ack),
    renewed: () => (state.revision = -1),
  } });
  link = mine;
  mine.start();
  draw();
}

/** Before the join is through, the list of nodes comes over HTTP: the first node may die right then. */
function learnNodes(pin) {
  const mine = link;
  requestJson("", `/api/v1/pins/${pin}`).then((view) => mine.learn(view.nodes), () => {});
}

function connectAnswered({ reason, receipt }) {
  if (reason < 0x80) return;
  const refusal = receipt?.message ? receipt : { code: "refused", message: `The node refused (0x${reason.toString(16)}).` };
  connectRefused(refusal);
}

const TRANSIENT = new Set(["overloaded", "flooded"]);

function connectRefused(refusal) {
  const isElsewhere = state.session && refusal.code === "pin_unknown" && resumeTries++ < RESUME_TRIES_MAX;
  if (TRANSIENT.has(refusal.code) || isElsewhere) return link.leaveNode(refusal.message);
  if (refusal.code === "not_open" && !state.session) return waitForLobby();
  // The word comes with the PUBACK, the hint with the inbox message: give the second a moment.
  const mine = link;
  setTimeout(() => mine === link && !state.session && !state.form.busy && stopLink(), HINT_WAIT_MS);
  forget();
  refuseForm(refusal);
}

/** Whoever comes early follows the show, and asks again once its lobby is open. */
function waitForLobby() {
  const isNew = !state.form.early;
  Object.assign(state.form, { early: true, error: null });
  draw();
  if (isNew) announce("The show begins soon. You are in as soon as the host opens the lobby.");
  if (state.live && state.live.stage.phase !== "draft") link.askAgain();
}

function refuseForm(error) {
  const same = state.form.error?.code === error.code && error.code ? state.form.error : {};
  state.form.error = { ...same, ...Object.fromEntries(Object.entries(error).filter(([, value]) => value)) };
  Object.assign(state.form, { busy: false, early: false });
  draw();
  announce(`${asSentence(error.message)} ${asSentence(error.hint)}`);
}

function stopLink() {
  link?.stop();
  link = null;
  showLink("idle", null);
}

function forget() {
  if (state.session) Object.assign(state.form, { pin: state.session.pin, name: state.session.name });
  Object.assign(state, { session: null, live: null, answer: null, result: null, resolved: null, marks: { kicked: false, muted: false, extra_ms: 0 } });
  remember(localStorage, SESSION_KEY, null);
}

function leave() {
  stopLink();
  forget();
  Object.assign(state.form, { error: null, early: false, busy: false });
  draw();
}

function saveSession() {
  const { sentOver, ...answer } = state.answer ?? {};
  remember(localStorage, SESSION_KEY, { ...state.session, answer: state.answer && answer, shown: opening.shown });
}

// ---- What arrives ----

function receive(topic, message) {
  if (topic.startsWith("live/")) onLive(message);
  else if (message.type === "joined") onJoined(message);
  else if (message.event && message.event !== state.session?.event) return; // of another show that the player is in
  else if (message.type === "receipt") onReceipt(message);
  else if (message.type === "result") onResult(message);
  else if (message.type === "marked") onMarked(message);
  else if (message.type === "refused") onRefused(message);
}

function onLive(view) {
  if (view.revision < state.revision) return;
  state.revision = view.revision;
  const before = state.live?.stage;
  state.live = view;
  deadline.take(view, state.node?.http);
  seen.take(view);
  revised.take(view);
  draw();
  askForFriends();
  if (state.form.early && !state.session && view.stage.phase !== "draft") link.askAgain();
  const isNew = before?.instance !== view.stage.instance || before?.phase !== view.stage.phase;
  if (isNew && state.session) announce(sentence(view, kindOf(view, draw)));
  if (isNew) scrollTo(0, 0);
}

function onJoined(message) {
  const { type, ...told } = message;
  if (told.pin !== link.pin) return; // an inbox is the player's, whatever show it tells of
  const hasChosen = state.session?.event === told.event && state.session.hasChosen;
  state.session = { ...told, hasChosen, broker: link.urls };
  Object.assign(state.form, { busy: false, early: false, error: null });
  resumeTries = 0;
  saveSession();
  ticketOf(told.player).then((ticket) => (state.ticket = ticket));
  link.learn(told.nodes);
  link.settle();
  draw();
  flush();
}

function onReceipt(message) {
  const { instance, status, level, choices, elapsed_ms, text, number, stake } = message;
  if (instance === TEAM_INSTANCE) return onTeam(choices);
  if (instance < (state.answer?.instance ?? 0)) return;
  const isAnswer = choices.length > 0 || text !== undefined || number !== undefined;
  if (!isAnswer && state.answer?.instance !== instance) return; // an input, not the answer
  const given = number === undefined && stake === undefined ? {} : { given: { number, stake } };
  settleAnswer(instance, { status, level, choices, elapsed_ms, text, ...given });
}

function onResult(message) {
  // A prediction is resolved when the show has gone on: it stands beside what the newest round gave.
  const isNews = message.stake === undefined || !isSameStake(state.resolved, message);
  if (message.stake === undefined) state.result = message;
  else state.resolved = { ...message, until: isNews ? state.live?.stage.instance : state.resolved.until };
  Object.assign(state.session ?? {}, { points: message.total, rank: message.rank, players: message.players, team: message.team });
  if (state.session) saveSession();
  draw();
  if (message.stake !== undefined && isNews) announce(stakeWords(message));
  const isShown = state.live?.stage.instance === message.instance;
  const gain = message.points === undefined ? "" : ` ${plural(message.points, "point")}, rank ${message.rank}.`;
  if (isShown) announce(`${verdictWord(message)}${gain}`);
}

/** A result is told again when others' points move its player's rank: of a stake that is no news. */
const isSameStake = (a, b) => a?.instance === b.instance && a.stake === b.stake && a.points === b.points;

/** What a host said: it changes what this page offers, and the nodes hold to it whatever a page does. */
function onMarked({ name, kicked, muted, extra_ms }) {
  const before = state.marks;
  state.marks = { kicked, muted, extra_ms };
  if (state.session && !kicked) {
    state.session.name = name;
    saveSession();
  }
  draw();
  if (kicked !== before.kicked) announce(kicked ? "A host has taken you out of this show." : "You are back in.");
  else if (muted !== before.muted) announce(muted ? "Your reactions are not shown." : "Your reactions are shown again.");
}

function onRefused(message) {
  if (message.topic.startsWith("connect/")) {
    const isKnown = state.form.error?.code === message.code;
    if (isKnown) refuseForm(message);
    else if (state.form.busy || state.session) connectRefused(message);
  } else if (message.topic.startsWith("answer/") && state.answer) {
    answerRefused(state.answer.instance, message);
  }
}

// ---- Answering ----

function choose(button) {
  const index = Number(button.dataset.index);
  const { instance } = state.live.stage;
  if (isFrozen()) return;
  const before = state.picked.instance === instance ? state.picked.choices : [];
  const { multiple, form } = state.live.question;
  const isOrder = form === "order";
  if (!multiple && !isOrder) return answer(instance, [index]);
  const choices = before.includes(index) ? before.filter((each) => each !== index) : [...before, index];
  state.picked = { instance, choices: isOrder ? choices : choices.sort((a, b) => a - b) };
  draw();
}

function submitChoices() {
  const { instance, choices } = state.picked;
  if (instance === state.live.stage.instance && choices.length > 0) answer(instance, choices);
}

/** What a kind's own form gives: the one answer, or one of several inputs. */
function giveForm(form) {
  const given = kindOf(state.live, draw)?.collect?.(form);
  if (!given) return;
  const { instance } = state.live.stage;
  state.missing = typeof given === "string" ? { instance, words: given } : null;
  draw();
  if (state.missing) return;
  if (form.dataset.stream) return sendInput(given).then((taken) => taken && form.reset());
  if (!isFrozen()) answer(instance, given.choices ?? [], given);
}

const sendButton = (button) => sendInput(JSON.parse(button.dataset.given));

/** An input of which there may be many: sent once, and not repeated by the page. */
async function sendInput(given) {
  const { session, live } = state;
  const { instance } = live.stage;
  if (!session || state.link !== "online") return inputTold(instance, "The connection is gone. Send it again in a moment.");
  const ack = await link.publishOnce({ token: session.token, instance, ...given }).catch(() => null);
  if (ack === null) return inputTold(instance, "Nobody has confirmed it. Send it again in a moment.");
  if (ack.reason < 0x80) return inputTold(instance, null);
  const { message, hint } = ack.receipt ?? {};
  return inputTold(instance, [message ?? "it was not taken", hint].filter(Boolean).map(asSentence).join(" "));
}

/** Says what became of one of several inputs: `words` why it was not taken, or nothing. Whether it was. */
function inputTold(instance, words) {
  state.input = { instance, words };
  draw();
  if (words) announce(words);
  return !words;
}

/** The choice of a team is an answer to this run, which no round has. */
const TEAM_INSTANCE = 0;

async function chooseTeam(button) {
  const { session } = state;
  if (!session || state.link !== "online") return;
  const choices = [Number(button.dataset.index)];
  const ack = await link.publish({ token: session.token, instance: TEAM_INSTANCE, choices }).catch(() => null);
  if (ack === null) return;
  if (ack.reason < 0x80) return onTeam(ack.receipt?.choices ?? choices);
  state.teamError = asSentence(ack.receipt?.message) || "Not taken.";
  draw();
  announce(state.teamError);
}

function onTeam([index]) {
  const team = state.live?.team_names?.[index];
  if (team === undefined || !state.session) return;
  Object.assign(state.session, { team, hasChosen: true });
  state.teamError = null;
  saveSession();
  draw();
  announce(`You play for ${team}.`);
}

function onBefriend(form) {
  befriend(state.session, form.elements.friend.value.trim());
  form.reset();
  draw();
  askForFriends();
}

function onUnfriend(button) {
  unfriend(state.session, button.dataset.name);
  draw();
  askForFriends();
}

const askForFriends = () => state.session && state.live && lookForFriends(state.session, state.node?.http ?? "", state.live, draw);

const REACT_GAP_MS = 150;
let reactedAt = 0;

/** A reaction is worth sending once; one that is lost is no loss. */
async function react(button) {
  const { session } = state;
  if (!session || state.link !== "online" || performance.now() < reactedAt + REACT_GAP_MS) return;
  reactedAt = performance.now();
  const ack = await link.react({ token: session.token, kind: button.dataset.kind }).catch(() => null);
  if (ack && ack.reason >= 0x80) announce(asSentence(ack.receipt?.message) || "Not taken.");
}

const TAPS_MS = 400;
const taps = new Map();
let tapTimer = null;

/** Taps are gathered, so that a crowd that claps does not send a message for every clap. */
function tap(button) {
  const index = Number(button.dataset.index);
  taps.set(index, Math.min(20, (taps.get(index) ?? 0) + 1));
  tapTimer ??= setTimeout(sendTaps, TAPS_MS);
}

function sendTaps() {
  tapTimer = null;
  const [[index, many] = []] = taps;
  if (index === undefined) return;
  taps.delete(index);
  if (state.live?.stage.phase === "open") sendInput({ choices: [index], count: many });
  if (taps.size > 0) tapTimer = setTimeout(sendTaps, TAPS_MS);
}

function answer(instance, choices, given = undefined) {
  state.picked = { instance, choices };
  const { shift } = opening.shown.instance === instance ? opening.shown : { shift: 0 };
  state.answer = { instance, choices, given, shift, status: "sending" };
  saveSession();
  draw();
  flush();
}

/**
 * Whether an answer is to be published: nobody has acknowledged it, or only until other nodes have it. A node confirms
 * that to its own connections; through a broker it is asked for. Taps that are sent again are more taps.
 */
const isOwed = (answer) => answer?.status === "sending" || (answer?.level === "provisional" && link?.urls !== undefined && !kindOf(state.live, draw)?.counted);

/** Publishes the answer that is owed; after every reconnect this runs again. */
async function flush() {
  const { answer: mine, session } = state;
  if (!isOwed(mine) || !session || state.link !== "online") return;
  if (state.live && state.live.stage.instance > mine.instance) return dropAnswer();
  if (mine.sentOver === link.connection) return;
  mine.sentOver = link.connection;
  const { instance, choices, given, shift } = mine;
  const held = shift > 0 ? { shift_ms: shift } : {};
  const ack = await link.publish({ token: session.token, instance, choices, ...given, ...held }).catch(() => null);
  if (ack === null || state.answer !== mine) return;
  if (ack.reason < 0x80) settleAnswer(instance, { level: "firm", choices, ...ack.receipt, status: ack.receipt?.status ?? "accepted" });
  else answerRefused(instance, ack.receipt ?? { code: "refused", message: "The node did not take the answer." });
}

function dropAnswer() {
  state.answer = null;
  saveSession();
}

function answerRefused(instance, refusal) {
  const { code, message, hint } = refusal;
  if (state.answer?.instance !== instance || state.answer.level) return;
  if (TRANSIENT.has(code)) return tryLater();
  if (code === "token_unknown" || code === "token_revoked") return connectRefused(refusal);
  const canRetry = ["choice_invalid", "text_profane", "not_open"].includes(code);
  const known = state.answer.code === code ? state.answer : {};
  const status = canRetry ? "retry" : "refused";
  state.answer = { instance, choices: state.answer.choices, status, code, message, hint: hint ?? known.hint };
  saveSession();
  draw();
}

function tryLater() {
  state.answer.sentOver = null;
  setTimeout(flush, 400 + Math.random() * 800);
}

function settleAnswer(instance, news) {
  const held = state.answer?.instance === instance ? state.answer : { instance, choices: [] };
  const wasFirm = held.level === "firm";
  state.answer = { instance, ...held, ...news, level: wasFirm ? "firm" : news.level };
  delete state.answer.code;
  delete state.answer.message;
  if (wasFirm && news.status === "duplicate") state.answer.status = held.status;
  state.picked = { instance, choices: state.answer.choices };
  saveSession();
  draw();
}

function showLink(word, node) {
  Object.assign(state, { link: word, node });
  draw();
}

function draw() {
  patch(app, pageView());
}

start();
