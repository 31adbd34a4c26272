// The big screen: what the whole room sees. It only listens, and moves to another node by itself.

import { Deadline, announce, cleanPin, count, countdown, h, pageParameters, patch, spacedPin, startTicking } from "./common.js";
import { EventStream, NodeList, requestJson } from "./nodes.js";
import { board, coverage, phaseBadge, phaseWord, podium, questionHead, sentence, teamBoard } from "./frame.js";
import { kindOf } from "./engagement/kinds.js";
import { announcePicture, picture } from "./engagement/picture.js";
import { Revised } from "./engagement/revised.js";
import { Seen } from "./proof.js";

const app = document.getElementById("app");
const nodes = new NodeList();
const deadline = new Deadline();
const seen = new Seen();
const revised = new Revised();
const pin = cleanPin(pageParameters().get("pin"));
const state = { view: null, link: "idle", error: null };

function start() {
  startTicking();
  addEventListener("resize", fit);
  document.addEventListener("load", fit, true); // pictures come late
  app.addEventListener("submit", (event) => (event.preventDefault(), choosePin()));
  if (pin !== "") follow();
  draw();
}

function choosePin() {
  const typed = cleanPin(app.querySelector("[name=pin]").value);
  if (typed !== "") location.search = `?pin=${typed}`;
}

function follow() {
  new EventStream({
    path: `/api/v1/pins/${pin}/screen/stream`,
    name: "screen",
    token: pageParameters().get("token"),
    nodes,
    on: { data: onView, state: onLink, refused: onRefused },
  });
}

function onLink(word) {
  const isNew = word === "online" && state.link !== "online";
  state.link = word;
  if (isNew) requestJson(nodes.current.http, `/api/v1/pins/${pin}`).then((view) => (nodes.learn(view.nodes), draw()), () => {});
  draw();
}

/** A screen is set up before the show is imported as often as after: it goes on asking. */
function onRefused(refusal) {
  state.error = refusal;
  draw();
  return true;
}

function onView(view) {
  const before = state.view?.stage;
  Object.assign(state, { view, error: null });
  deadline.take(view, nodes.current.http);
  seen.take(view);
  revised.take(view);
  draw();
  if (before?.instance !== view.stage.instance || before?.phase !== view.stage.phase) announce(sentence(view, kindOf(view, draw)));
}

// ---- Drawing ----

function draw() {
  if (pin === "") patch(app, pinForm());
  else if (state.view) patch(app, showView(state.view));
  else patch(app, waitingView());
  fit();
}

/** Nobody scrolls a projector: what does not fit is drawn smaller, down to what a hall can still read. */
function fit() {
  const main = app.querySelector(".show > main");
  if (main === null || !matchMedia("(min-width: 821px)").matches) return;
  let zoom = 1;
  main.style.zoom = "";
  while (zoom > ZOOM_MIN && main.scrollHeight > main.clientHeight + 1) {
    zoom *= Math.max(0.8, Math.min(0.98, main.clientHeight / main.scrollHeight));
    main.style.zoom = zoom.toFixed(3);
  }
}

const ZOOM_MIN = 0.4;

const brand = () => h("h1", { class: "brand" }, h("img", { src: "/assets/icon.svg", alt: "", width: 56, height: 56 }), "Starling");

const pinForm = () =>
  h(
    "main",
    { class: "join" },
    brand(),
    h(
      "form",
      { class: "card", novalidate: true },
      h("label", { class: "field pin" }, h("span", {}, "PIN"), h("input", { name: "pin", testid: "pin", inputmode: "numeric", required: true, placeholder: "482 913" })),
      h("button", { class: "primary", testid: "show" }, "Show"),
    ),
  );

const waitingView = () =>
  h(
    "main",
    { class: "join" },
    brand(),
    state.error
      ? h("div", { class: "notice bad", testid: "error", "data-code": state.error.code }, h("p", {}, state.error.message), state.error.hint && h("p", { class: "hint" }, state.error.hint))
      : h("p", { class: "muted" }, `Connecting to ${nodes.current.name} …`),
  );

function showView(view) {
  const { instance, phase } = view.stage;
  return h(
    "div",
    { class: "show" },
    h("header", { class: "bar" }, h("span", { class: "title", testid: "title" }, view.title), phaseBadge(view.stage), coverage(view.result), revised.badge()),
    view.controls?.announcement && h("p", { class: "notice announcement", testid: "announcement", role: "status" }, view.controls.announcement),
    view.controls?.curtain
      ? h("main", { class: "curtain", "data-key": "curtain", testid: "curtain" }, h("h1", { class: "huge" }, "In a moment …"))
      : h("main", { class: phase, "data-key": phase === "lobby" ? "lobby" : `${instance}-${scene(phase)}` }, stageView(view)),
    crowdPart(view),
    footer(view),
  );
}

/** Phases in which the same elements stay, so that bars can grow and marks appear in place. */
const scene = (phase) => (["open", "closed", "tallies", "reveal"].includes(phase) ? "question" : phase);

function stageView(view) {
  const views = { lobby: lobbyView, intro: introView, open: questionView, closed: questionView, tallies: questionView, reveal: questionView, board: boardView, ended: endView };
  return (views[view.stage.phase] ?? quietView)(view);
}

const joinUrl = () => `${nodes.current.http}/?pin=${pin}`;
const joinHost = () => nodes.current.http.replace(/^https?:\/\//, "");

function lobbyView(view) {
  return [
    h(
      "section",
      { class: "invite" },
      h("p", { class: "lead" }, "Join at ", h("b", { testid: "join-url", "data-url": joinUrl() }, joinHost())),
      h("p", { class: "muted" }, "with the PIN"),
      h("p", { class: "big-pin", testid: "pin", "data-value": view.pin, "aria-label": [...view.pin].join(" ") }, spacedPin(view.pin)),
      startsPart(view),
      h("p", { class: "lead" }, playersPart(view), view.locked && h("span", { class: "badge", testid: "locked" }, "joining is locked")),
    ),
    h("figure", { class: "qr" }, h("img", { testid: "qr", src: `${nodes.current.http}/api/v1/pins/${pin}/qr.svg`, alt: `QR code of ${joinUrl()}` }), h("figcaption", {}, "Scan to join")),
  ];
}

/** When the show starts, if it does by itself. */
const startsPart = (view) =>
  view.paused ? h("p", { class: "badge", testid: "paused" }, "Paused") : deadline.at !== null && h("div", { class: "starts", testid: "starts" }, h("p", { class: "lead" }, "We start in"), countdown(deadline.at, deadline.length));

const playersPart = (view) =>
  h("span", { testid: "players", "data-value": view.players }, h("b", {}, count(view.players)), view.players === 1 ? " player" : " players");

function introView(view) {
  announcePicture(view.question, nodes.current.http);
  return [
    questionHead(view.question),
    h("h1", { class: "question huge", testid: "question" }, view.question.text),
    h("p", { class: "lead muted" }, "Get ready …"),
  ];
}

function questionView(view) {
  const { question, reveal, answered, stage } = view;
  const isOpen = stage.phase === "open" && deadline.at !== null && !view.paused;
  return [
    h(
      "div",
      { class: "question-line" },
      h("div", {}, questionHead(question), h("h1", { class: "question", testid: "question" }, question.text)),
      isOpen ? countdown(deadline.at, question.open_ms) : null,
      answered !== null && answered !== undefined && !kindOf(view, draw)?.counted && h("p", { class: "answered-count", testid: "answered", "data-value": answered }, h("b", {}, count(answered)), " answered"),
    ),
    picture(question, nodes.current.http),
    view.voided && h("p", { class: "notice", testid: "voided" }, "This question does not count."),
    kindOf(view, draw)?.shown(view),
    reveal?.explanation && h("p", { class: "notice explanation", testid: "explanation" }, reveal.explanation),
    proofLink(seen.address(view)),
  ];
}

const proofLink = (href) => href && h("p", { class: "muted" }, h("a", { href, target: "_blank", rel: "noopener", testid: "verify" }, "Anybody can check this"));

/** Teams that a big screen shows. */
const TEAMS_SHOWN = 10;

const teams = (view) => view.teams && teamBoard(view.teams.slice(0, TEAMS_SHOWN));
const boardView = (view) => [h("h1", {}, phaseWord("board")), h("div", { class: "boards" }, teams(view), board(view.board ?? []))];
const endView = (view) => [h("h1", {}, view.title), teams(view), podium(view.board ?? [])];
const quietView = (view) => h("section", { class: "calm" }, h("h1", { class: "huge" }, phaseWord(view.stage.phase)));

const SIGNS = { clap: "👏", fire: "🔥", heart: "❤️", laugh: "😂", wow: "😮" };

/** How the crowd reacts: each sign with its count, and the mood. */
function crowdPart({ crowd, controls }) {
  const kinds = Object.entries(crowd?.reactions ?? {}).filter(([kind, total]) => SIGNS[kind] && total > 0);
  if (controls?.reactions === false || (kinds.length === 0 && !crowd?.mood)) return null;
  const sign = ([kind, total]) => h("span", { testid: `crowd-${kind}`, "data-key": kind, "data-value": total }, SIGNS[kind], " ", h("b", {}, count(total)));
  const mood = crowd.mood !== 0 && h("span", { testid: "mood", "data-key": "mood", "data-value": crowd.mood }, crowd.mood > 0 ? "👍 " : "👎 ", h("b", {}, count(Math.abs(crowd.mood))));
  return h("p", { class: "crowd", "aria-label": "Reactions", "data-key": "crowd" }, kinds.map(sign), mood);
}

function footer(view) {
  const isLobby = view.stage.phase === "lobby";
  return h(
    "footer",
    { class: "bar" },
    !isLobby && h("span", { class: "badge pin" }, `${joinHost()} · PIN `, h("b", { testid: "pin", "data-value": view.pin }, spacedPin(view.pin))),
    !isLobby && playersPart(view),
    h("span", { class: `link ${state.link}`, testid: "link", "data-state": state.link, role: "status" }, h("span", { class: "dot", "aria-hidden": "true" }), state.link === "online" ? "Live from" : "Reconnecting to", h("b", { testid: "node" }, ` ${nodes.current.name}`)),
  );
}

start();
