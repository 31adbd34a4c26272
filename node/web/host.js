// The host's console: sees everything, drives the show, from any node.
//
// A command carries the stage that this page showed when the button was pressed, so two hosts
// pressing the same button make one step, and a command whose answer was lost can be sent again to
// another node. The token stays in this tab: it is taken out of the address at once.

import {
  Deadline, announce, asSentence, cleanPin, count, countdown, h, onActions, pageParameters, patch, plural, recall, remember,
  spacedPin, startTicking,
} from "./common.js";
import { carriersCard, nodesCard } from "./host-nodes.js";
import { desk, peopleCard, showCard, wishOf } from "./host-people.js";
import { keepFile, resultsCard } from "./host-results.js";
import { isPlain, isRuling, rulingOf, rulingPart, waitingPart } from "./host-rulings.js";
import { chooseQuestion, script, scriptCard } from "./host-script.js";
import { trail, trailCard } from "./host-trail.js";
import { EXTEND_MS, LABELS } from "./host-words.js";
import { EventStream, NodeList, requestJson } from "./nodes.js";
import { board, coverage, phaseBadge, podium, questionHead, sentence, teamBoard } from "./frame.js";
import { kindOf } from "./engagement/kinds.js";
import { letters, optionList } from "./engagement/options.js";
import { Revised } from "./engagement/revised.js";

const LOGIN_KEY = "starling.host";
const ARMED_MS = 4000;
/** For how long it is said that a command was carried out. */
const NOTICE_MS = 8000;
/** Wishes that wait for those before them: more are a stuck key. */
const WISHES_MAX = 16;

const app = document.getElementById("app");
const nodes = new NodeList();
const deadline = new Deadline();
const revised = new Revised();
const state = { login: null, form: { error: null }, view: null, link: "idle", notice: null, sending: null, armed: null, invited: null, heardAt: 0 };
/** Wishes that are on their way, one after the other, and forms that wait for theirs. */
const wishes = { last: Promise.resolve(), many: 0, forms: new Set() };
let stream = null;
let armedTimer = null;

function start() {
  startTicking();
  // Who is missing is missing for longer every second.
  setInterval(() => state.view?.result?.missing.length > 0 && draw(), 1000);
  onActions(app, { command: onCommand, rule: onRule, fact: onRule, person: onPerson, question: onQuestion, node: pickNode, trail: onTrail, results: onResults, logout });
  app.addEventListener("submit", (event) => (event.preventDefault(), event.target.dataset.form ? onForm(event.target) : login()));
  app.addEventListener("input", ({ target }) => target.name === "question" && ((script.words = target.value.trim()), draw()));
  const given = pageParameters();
  const saved = recall(sessionStorage, LOGIN_KEY) ?? {};
  const isSame = !given.get("event") || given.get("event") === saved.event;
  const event = given.get("event") ?? saved.event;
  const token = given.get("token") ?? (isSame ? saved.token : null);
  const pin = cleanPin(given.get("pin"));
  Object.assign(state.form, { event, token, pin });
  hideToken(given);
  if (token && (event || pin)) enter({ event, token, pin });
  else draw();
}

function hideToken(given) {
  given.delete("token");
  const query = given.toString();
  history.replaceState(null, "", location.pathname + (query ? `?${query}` : ""));
}

// ---- Coming in ----

function login() {
  const value = (name) => app.querySelector(`[name=${name}]`).value.trim();
  const show = value("show");
  const isPin = /^[\d\s]{1,12}$/.test(show);
  enter({ event: isPin ? null : show, pin: isPin ? cleanPin(show) : "", token: value("token") });
}

async function enter({ event, token, pin }) {
  Object.assign(state.form, { event, token, pin, error: null, busy: true });
  draw();
  try {
    const id = event || (await requestJson("", `/api/v1/pins/${pin}`)).event;
    state.login = { event: id, token };
    follow();
  } catch (error) {
    fail(error);
  }
}

function follow() {
  const { event, token } = state.login;
  stream = new EventStream({
    path: `/api/v1/events/${encodeURIComponent(event)}/host/stream`,
    name: "host",
    token,
    nodes,
    on: { data: onView, state: (word) => ((state.link = word), draw()), refused: onRefused },
  });
}

function onRefused(refusal) {
  // A node may not have heard of the event yet; before the first view, the id or the token is wrong.
  if (state.view && refusal.code !== "token_revoked") return true;
  fail(refusal);
  return false;
}

function fail(error) {
  stream?.stop();
  Object.assign(state, { login: null, view: null, link: "idle" });
  Object.assign(state.form, { error, busy: false });
  draw();
}

function logout() {
  remember(sessionStorage, LOGIN_KEY, null);
  state.form = { error: null };
  fail(null);
}

function onView(news) {
  const before = state.view;
  const isRuled = news.rounds !== undefined;
  // What is long and seldom changes comes with the first view of a stream, and when it has changed.
  const view = { questions: before?.questions ?? [], rounds: before?.rounds ?? [], ...news };
  Object.assign(state, { view, heardAt: performance.now() });
  revised.take(view);
  deadline.take(view, nodes.current.http);
  if (!before) remember(sessionStorage, LOGIN_KEY, state.login);
  if (before?.node !== view.node || before?.enrolled.length !== view.enrolled.length) learnNodes(view.pin);
  if (!isSameStage(before?.stage, view.stage)) onStage(view);
  else if (isRuled) lookAtRounds();
  draw();
}

function onStage(view) {
  disarm();
  lookAtTrail();
  lookAtRounds();
  announce(sentence(view, kindOf(view, draw)));
}

const isSameStage = (a, b) => a?.instance === b.instance && a?.phase === b.phase;

function learnNodes(pin) {
  requestJson(nodes.current.http, `/api/v1/pins/${pin}`).then((view) => (nodes.learn(view.nodes), draw()), () => {});
}

function pickNode(button) {
  stayWith(button.dataset.http);
  draw();
}

// ---- Commands ----

/** What ends something for good is asked twice: the first press arms the button, for a moment. */
function isGrave(command, { question }) {
  return command === "abort" || (command === "end" && !!question && question.number < question.of);
}

function onCommand(button) {
  const { command } = button.dataset;
  if (isGrave(command, state.view) && state.armed !== command) return arm(command);
  disarm();
  send(command);
}

function arm(command) {
  disarm();
  state.armed = command;
  armedTimer = setTimeout(() => (disarm(), draw()), ARMED_MS);
  draw();
}

function disarm() {
  clearTimeout(armedTimer);
  state.armed = null;
}

function send(command) {
  const { stage, question } = state.view;
  const details = { extend: { ms: EXTEND_MS, open_ms: question?.open_ms }, void: { instance: stage.instance }, restore: { instance: stage.instance } };
  return sendBody({ command, ...details[command] });
}

/**
 * Sends a wish after those before it: none is lost because another one is still on its way. It carries the
 * stage that the page showed when it was made.
 */
function sendBody(wish) {
  if (wishes.many >= WISHES_MAX) return Promise.resolve(null);
  wishes.many += 1;
  const body = { ...wish, expected: state.view.stage };
  const sent = wishes.last.then(() => carryOut(body)).finally(() => (wishes.many -= 1));
  wishes.last = sent.catch(() => {});
  return sent;
}

async function carryOut(body) {
  if (!state.login) return null;
  const { command } = body;
  Object.assign(state, { sending: command, notice: null });
  draw();
  const reply = await sendAnywhere(body).catch((error) => ((state.notice = refusalNotice(error)), null));
  if (reply) state.notice = replyNotice(command, reply);
  if (command === "invite" && reply?.token) state.invited = { name: body.name, url: invitation(reply.token) };
  if (command === "dismiss") state.invited = null;
  state.sending = null;
  if (desk.found !== null) await find();
  lookAtTrail();
  lookAtRounds();
  draw();
  announce(state.notice.text);
  if (reply) fade(state.notice);
  return reply;
}

/** That something was done is no news after a while; what was refused stays until the next command. */
function fade(notice) {
  setTimeout(() => state.notice === notice && ((state.notice = null), draw()), NOTICE_MS);
}

const invitation = (token) => `${nodes.current.http}/host#event=${state.login.event}&token=${token}`;

// ---- The audit trail ----

function onTrail() {
  trail.open = !trail.open;
  lookAtTrail();
  draw();
}

async function lookAtTrail() {
  if (!trail.open || !state.login) return;
  const { event, token } = state.login;
  const path = `/api/v1/events/${encodeURIComponent(event)}/log`;
  const told = await requestJson(nodes.current.http, path, { token }).catch((refusal) => ({ refusal }));
  Object.assign(trail, told.refusal ? { error: told.refusal.message } : { lines: told, error: null });
  draw();
}

// ---- The script ----

function onQuestion(button) {
  chooseQuestion(Number(button.dataset.number));
  lookAtRounds();
  draw();
}

/** Asks what became of the chosen question. */
async function lookAtRounds() {
  const { chosen } = script;
  if (chosen === null || !state.login) return;
  const { event, token } = state.login;
  const path = `/api/v1/events/${encodeURIComponent(event)}/rounds?question=${chosen}`;
  const told = await requestJson(nodes.current.http, path, { token }).catch((refusal) => ({ refusal }));
  if (chosen !== script.chosen) return;
  Object.assign(script, told.refusal ? { error: asSentence(told.refusal.message) } : { rounds: told, error: null });
  draw();
}

/** Has a file of the results kept. */
function onResults({ dataset: { file } }) {
  keepFile(nodes.current.http, state.login, file).catch((refusal) => ((state.notice = refusalNotice(refusal)), draw()));
}

// ---- Players ----

/** Looks for players, and again after every command, so that what was said of them shows. */
async function find() {
  const { event, token } = state.login;
  const path = `/api/v1/events/${encodeURIComponent(event)}/players?find=${encodeURIComponent(desk.words)}`;
  desk.found = await requestJson(nodes.current.http, path, { token }).catch((error) => ((state.notice = refusalNotice(error)), desk.found));
  draw();
}

function onPerson(button) {
  desk.chosen = desk.chosen === button.dataset.player ? null : button.dataset.player;
  draw();
}

async function onForm(form) {
  if (form.dataset.form === "find") return (desk.words = form.querySelector("[name=find]").value.trim()), find();
  const wish = isRuling(form) ? rulingOf(form) : wishOf(form);
  const { key } = form.dataset;
  if (wish?.refused) return (state.notice = { tone: "bad", text: wish.refused }), announce(wish.refused), draw();
  // A double click on an award is one award.
  if (!wish || wishes.forms.has(key)) return;
  wishes.forms.add(key);
  if (await sendBody(wish).finally(() => wishes.forms.delete(key))) form.reset();
}

/**
 * Tries every node once, the current one first: the stage that the command expects keeps a
 * repetition from counting twice. The console then stays with the node that answered.
 */
async function sendAnywhere(body) {
  const { event, token } = state.login;
  const path = `/api/v1/events/${encodeURIComponent(event)}/commands`;
  let failure = null;
  for (const { http } of nodes.inTurn()) {
    try {
      const reply = await requestJson(http, path, { token, body });
      if (failure !== null) stayWith(http);
      return reply;
    } catch (error) {
      if (!error.isTransport) throw error;
      failure = error;
    }
  }
  throw failure;
}

function stayWith(http) {
  if (nodes.current.http === http) return;
  nodes.pick(http);
  stream.move({ picked: true });
}

function replyNotice(command, reply) {
  const what = LABELS[command] ?? command;
  if (reply.outcome === "already") return { tone: "wait", text: `${what}: somebody had already done it.` };
  const level = reply.level === "firm" ? "" : " Other nodes are about to confirm it.";
  return { tone: reply.level === "firm" ? "good" : "wait", text: `${what}: done.${level}`, level: reply.level };
}

function refusalNotice(error) {
  return { tone: "bad", code: error.code, text: `${asSentence(error.message)} ${asSentence(error.hint)}`.trim() };
}

// ---- Drawing ----

const STEPS = ["lobby", "next", "open", "close", "tallies", "reveal", "leaderboard", "end"];

function draw() {
  patch(app, state.view ? consoleView(state.view) : formView());
}

function formView() {
  const { form } = state;
  const isWaiting = form.busy && state.login;
  return h(
    "main",
    { class: "join", "data-key": "login" },
    h("h1", { class: "brand" }, h("img", { src: "/assets/icon.svg", alt: "", width: 56, height: 56 }), "Starling host"),
    h(
      "form",
      { class: "card", novalidate: true },
      h("label", { class: "field" }, h("span", {}, "PIN or event id"), h("input", { name: "show", testid: "show", autocomplete: "off", value: form.event || form.pin || "" })),
      h("label", { class: "field" }, h("span", {}, "Host token"), h("input", { name: "token", testid: "token", type: "password", autocomplete: "off", value: form.token ?? "" })),
      h("div", { role: "alert" }, form.error && h("div", { class: "notice bad", testid: "error", "data-code": form.error.code }, h("p", {}, asSentence(form.error.message)), form.error.hint && h("p", { class: "hint" }, asSentence(form.error.hint)))),
      h("button", { class: "primary", testid: "login", disabled: !!form.busy }, isWaiting ? `Connecting to ${nodes.current.name} …` : "Open the console"),
    ),
  );
}

function consoleView(view) {
  return h(
    "div",
    { class: "console", "data-key": "console" },
    topBar(view),
    h(
      "main",
      { class: "columns" },
      h("section", { class: "column" }, stageCard(view), commandCard(view), resultsCard(view), boardCard(view), peopleCard(view)),
      h("section", { class: "column side" }, scriptCard(view), showCard(view, state.invited), trailCard(), carriersCard(view), nodesCard(nodes)),
    ),
  );
}

function topBar(view) {
  const join = `${nodes.current.http}/screen?pin=${view.pin}`;
  return h(
    "header",
    { class: "bar" },
    h("h1", { class: "title", testid: "title" }, view.title),
    h("span", { class: "badge pin", testid: "pin", "data-value": view.pin }, "PIN ", h("b", {}, spacedPin(view.pin))),
    h("span", { testid: "players", "data-value": view.players }, h("b", {}, count(view.players)), ` player${view.players === 1 ? "" : "s"}`, ", ", h("span", { testid: "present", "data-value": view.present ?? 0 }, count(view.present ?? 0)), " here"),
    h("span", { class: "badge", testid: "locked", "data-locked": String(view.locked) }, doorWord(view)),
    h("span", { class: `link ${state.link}`, testid: "link", "data-state": state.link, role: "status" }, h("span", { class: "dot", "aria-hidden": "true" }), state.link === "online" ? "Live from" : "Reconnecting to", h("b", { testid: "node" }, ` ${state.link === "online" ? view.node : nodes.current.name}`)),
    h("a", { class: "quiet", href: join, target: "_blank", rel: "noopener", testid: "screen-link" }, "Screen ↗"),
    h("button", { type: "button", class: "quiet", testid: "logout", "data-action": "logout" }, "Log out"),
  );
}

function doorWord({ stage, locked }) {
  if (["ended", "aborted"].includes(stage.phase)) return "over";
  if (stage.phase === "draft") return locked ? "locked" : "not open yet";
  return locked ? "locked" : "joining is open";
}

function stageCard(view) {
  const asked = view.question && view.questions[view.question.number - 1];
  return h(
    "section",
    { class: "card stage", "aria-label": "Now" },
    h("div", { class: "stage-line" }, phaseBadge(view.stage), coverage(view.result, state.heardAt), revised.badge()),
    asked ? questionPart(view, asked) : h("p", { class: "muted" }, IDLE_WORDS[view.stage.phase] ?? ""),
  );
}

const IDLE_WORDS = {
  draft: "Nobody can join yet. Open the lobby when your audience is there.",
  lobby: "Players are coming in. Show the first question, or open it at once.",
  ended: "The show is over. The results stay here.",
  aborted: "The show was broken off.",
};

function questionPart(view, asked) {
  const { question, answered, tallies, players, reveal } = view;
  const share = players > 0 ? (answered ?? 0) / players : 0;
  const isRuled = !reveal && view.rounds.some((line) => line.instance === view.stage.instance && line.revision > 0);
  return [
    h(
      "div",
      { class: "question-line" },
      h("div", {}, questionHead(question), h("h2", { class: "question", testid: "question" }, question.text)),
      deadline.at !== null && countdown(deadline.at, question.open_ms),
    ),
    isPlain(question, asked) ? optionList(asked.options, { tallies, correct: reveal?.correct ?? asked.correct }) : [!reveal?.answer && asked.answer && h("p", { class: "muted" }, `Solution: ${asked.answer}`), question.kind && kindOf(view, draw)?.shown(view)],
    isRuled && h("p", { class: "muted", testid: "ruled-since" }, "Hosts have ruled on it since: what holds stands with the question in the list."),
    waitingPart(view),
    rulingPart(view, asked),
    answered !== null && answered !== undefined && h(
      "p",
      { class: "answered", css: { "--share": Math.min(1, share).toFixed(4) } },
      h("span", { testid: "answered", "data-value": answered }, h("b", {}, count(answered)), ` of ${plural(players, "player")} answered`),
      h("span", { class: "meter", "aria-hidden": "true" }),
    ),
  ];
}

function onRule(button) {
  sendBody(JSON.parse(button.dataset.body));
}

function commandCard(view) {
  const shownSeparately = ["rescore", "accept", "resolve", "moderate"];
  const steps = STEPS.filter((command) => view.next.includes(command));
  const others = view.next.filter((command) => !STEPS.includes(command) && !shownSeparately.includes(command));
  if (view.next.length === 0 && !state.notice) return null;
  const main = steps.find((command) => !isGrave(command, view));
  return h(
    "section",
    { class: "card commands", "aria-label": "Commands" },
    steps.length > 0 && h("div", { class: "buttons" }, steps.map((command) => commandButton(command, command === main))),
    others.length > 0 && h("div", { class: "buttons" }, others.map((command) => commandButton(command, false))),
    h("p", { class: `notice ${state.notice?.tone ?? "empty"}`, testid: "notice", "data-code": state.notice?.code, "data-level": state.notice?.level }, state.notice?.text ?? ""),
  );
}

function commandButton(command, isMain) {
  const isArmed = state.armed === command;
  const isLast = command === "next" && state.view.question && state.view.question.number >= state.view.question.of;
  const label = isLast ? "Finish the show" : (LABELS[command] ?? command);
  const attrs = { type: "button", "data-key": command, "data-action": "command", "data-command": command };
  Object.assign(attrs, { testid: `cmd-${command}`, class: isMain ? "primary" : command === "abort" || isArmed ? "grave" : "" });
  Object.assign(attrs, { disabled: state.sending !== null, "data-armed": isArmed ? "true" : null });
  return h("button", attrs, isArmed ? `Really? ${label}` : label);
}

function boardCard(view) {
  if (!view.board) return null;
  const isEnd = view.stage.phase === "ended";
  return h("section", { class: "card", "aria-label": "Leaderboard" }, h("h2", {}, "Leaderboard"), view.teams && teamBoard(view.teams), isEnd ? podium(view.board) : board(view.board));
}

start();
