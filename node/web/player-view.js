// Draws the player's page from its state, and changes nothing.

import { asSentence, count, countdown, h, plural, seconds } from "./common.js";
import { board, coverage, phaseBadge, phaseWord, podium, questionHead, teamBoard } from "./frame.js";
import { kindOf } from "./engagement/kinds.js";
import { announcePicture, picture } from "./engagement/picture.js";
import { friendsPart } from "./player-friends.js";
import { deadline, opening, own, revised, seen, state } from "./player-state.js";

/** The whole page. */
export const pageView = () => (state.session ? playView() : formView());

const LINK_WORDS = {
  idle: "Not connected",
  connecting: "Connecting to",
  online: "Connected to",
  reconnecting: "Reconnecting to",
  elsewhere: "Open in another tab or on another device; reload this page to play here",
};

const linkBadge = () =>
  h(
    "span",
    { class: `link ${state.link}`, testid: "link", "data-state": state.link, role: "status" },
    h("span", { class: "dot", "aria-hidden": "true" }),
    LINK_WORDS[state.link],
    state.node && h("b", { testid: "node" }, ` ${state.node.name}`),
  );

/** Who comes before the lobby waits here, and is let in when the host opens it. */
const earlyView = () =>
  h(
    "main",
    { class: "join", "data-key": "early" },
    h("h1", { class: "brand" }, h("img", { src: "/assets/icon.svg", alt: "", width: 56, height: 56 }), "Starling"),
    h(
      "section",
      { class: "card calm", testid: "early", role: "status" },
      h("h1", {}, "The show begins soon"),
      h("p", { class: "muted" }, "Keep this page open: you are in as soon as the host opens the lobby."),
      h("button", { type: "button", class: "quiet", testid: "leave", "data-action": "leave" }, "Not now"),
    ),
    linkBadge(),
  );

function formView() {
  const { form } = state;
  if (form.early) return earlyView();
  return h(
    "main",
    { class: "join", "data-key": "join" },
    h("h1", { class: "brand" }, h("img", { src: "/assets/icon.svg", alt: "", width: 56, height: 56 }), "Starling"),
    h(
      "form",
      { class: "card", novalidate: true, "aria-describedby": "form-error" },
      field("pin", "PIN", { inputmode: "numeric", autocomplete: "off", maxlength: 12, placeholder: "482 913", value: form.pin }),
      field("name", "Your name", { autocomplete: "nickname", maxlength: 40, placeholder: "Ada", value: form.name }),
      h("div", { id: "form-error", class: "form-error", role: "alert" }, form.error && errorView(form.error)),
      h("button", { class: "primary", testid: "join", disabled: form.busy }, form.busy ? "Joining …" : "Join"),
    ),
    form.busy && state.link !== "idle" && linkBadge(),
  );
}

const field = (name, label, attrs) =>
  h("label", { class: `field ${name}` }, h("span", {}, label), h("input", { name, testid: name, required: true, ...attrs }));

const errorView = (error) =>
  h(
    "div",
    { class: "notice bad", testid: "error", "data-code": error.code },
    h("p", {}, asSentence(error.message)),
    error.hint && h("p", { class: "hint" }, asSentence(error.hint)),
  );

function playView() {
  const { session, live, marks } = state;
  return h(
    "div",
    { class: "play", "data-key": "play" },
    h(
      "header",
      { class: "bar" },
      h("span", { class: "who", testid: "player-name" }, session.name),
      h("span", { class: "standing" }, standing(session)),
    ),
    live?.controls?.announcement && h("p", { class: "notice announcement", testid: "announcement", role: "status" }, live.controls.announcement),
    marks.kicked ? kickedView() : h("main", { "data-key": live ? `${live.stage.instance}-${live.stage.phase}` : "waiting" }, live ? stageView(live) : waitingView()),
    live && !marks.kicked && reactionBar(live, marks),
    h(
      "footer",
      { class: "bar" },
      linkBadge(),
      h("button", { type: "button", class: "quiet", testid: "leave", "data-action": "leave" }, "Leave"),
    ),
  );
}

const standing = (session) => [
  session.team && h("span", { class: "badge", testid: "team", "data-chosen": String(!!session.hasChosen) }, session.team),
  h("span", { testid: "score", "data-value": session.points }, h("b", {}, count(session.points)), " points"),
  session.rank && h("span", { testid: "rank", "data-value": session.rank }, h("b", {}, `#${count(session.rank)}`), ` of ${count(session.players)}`),
];

const kickedView = () =>
  h("main", { "data-key": "kicked" }, h("section", { class: "card calm", testid: "kicked" }, h("h1", {}, "You are out"), h("p", { class: "muted" }, "A host has taken you out of this show. Only a host can take it back.")));

const REACTIONS = { clap: "👏", fire: "🔥", heart: "❤️", laugh: "😂", wow: "😮", up: "👍", down: "👎" };

/** Applause, while the host lets it through. */
function reactionBar({ stage, controls }, marks) {
  const isOver = ["draft", "ended", "aborted"].includes(stage.phase);
  if (isOver || controls?.reactions === false || marks.muted) return null;
  const button = ([kind, sign]) => h("button", { type: "button", class: "quiet", testid: `react-${kind}`, "data-key": kind, "data-action": "react", "data-kind": kind, "aria-label": kind }, sign);
  return h("nav", { class: "reaction-bar", testid: "reactions", "aria-label": "Reactions", "data-key": "reactions" }, Object.entries(REACTIONS).map(button));
}

const waitingView = () => h("section", { class: "card calm" }, h("h1", { testid: "phase", "data-phase": "unknown" }, "Coming …"));

function stageView(live) {
  const views = { intro: introView, open: openView, closed: closedView, tallies: closedView, reveal: revealView, board: boardView, ended: endView };
  const view = views[live.stage.phase] ?? lobbyView;
  return [
    h("div", { class: "stage-line" }, phaseBadge(live.stage), coverage(live.result), revised.badge()),
    resolvedPart(live),
    view(live),
  ];
}

function lobbyView(live) {
  const words = { lobby: "You are in!", draft: "Not open yet", aborted: "The show was broken off." };
  return h(
    "section",
    { class: "card calm" },
    h("h1", { testid: "joined", "data-level": state.session.level }, words[live.stage.phase]),
    h("p", { class: "title", testid: "title" }, live.title),
    h("p", { class: "muted" }, h("span", { testid: "players", "data-value": live.players }, plural(live.players, "player")), " here"),
    teamPart(live),
    live.stage.phase === "lobby" && startsPart(live),
  );
}

/** When the show starts, if it does by itself. */
function startsPart(live) {
  if (live.paused) return h("p", { class: "badge", testid: "paused" }, "Paused");
  if (deadline.at === null) return h("p", { class: "muted" }, "The first question comes soon. Keep this page open.");
  return h("div", { class: "starts", testid: "starts" }, h("p", { class: "muted" }, "The show starts in"), countdown(deadline.at, deadline.length));
}

/** The teams to choose from, while the show lets players choose. */
function teamPart({ team_names: names = [] }) {
  const { team, hasChosen } = state.session;
  if (names.length === 0) return null;
  const button = (name, index) =>
    h("button", { type: "button", class: name === team ? "current" : "", testid: `team-${index}`, "data-key": name, "data-action": "team", "data-index": index, "aria-pressed": String(name === team) }, name);
  return h(
    "section",
    { class: "teams-part", testid: "teams-part", "data-key": "teams" },
    h("p", {}, hasChosen ? "You play for " : "Choose your team, or play for ", h("b", {}, team ?? "")),
    h("div", { class: "buttons", role: "group", "aria-label": "Teams" }, names.map(button)),
    state.teamError && h("p", { class: "notice bad", testid: "team-error" }, state.teamError),
  );
}

const headView = (live) => [questionHead(live.question), h("h1", { class: "question", testid: "question" }, live.question.text)];
const introView = (live) => (announcePicture(live.question, state.node?.http ?? ""), headView(live));

/** What the page does when a kind has been loaded; player.js says. */
let redraw = () => {};
export const onKind = (draw) => (redraw = draw);

const kind = () => kindOf(state.live, redraw);
/** An answer in words; its kind may still be on its way here. */
const said = (answer) => kind()?.said(answer, state.live.question) ?? "What you gave";

function openView(live) {
  const { question, stage } = live;
  const mine = own(stage.instance);
  const shift = opening.shift(live, deadline.at);
  if (shift === null) return heldBackView(live);
  const closes = deadline.at - (question.window_ms ?? 0) + shift + state.marks.extra_ms;
  return [
    h("div", { class: "question-line" }, h("div", {}, headView(live)), live.paused ? h("p", { class: "badge", testid: "paused" }, "Paused") : countdown(closes, question.open_ms + state.marks.extra_ms)),
    state.marks.extra_ms > 0 && h("p", { class: "notice", testid: "extra-time", "data-value": state.marks.extra_ms }, `You have ${seconds(state.marks.extra_ms)} more than the others.`),
    picture(question, state.node?.http ?? ""),
    kind()?.input(question, mine),
    live.results && kind()?.shown(live, mine),
    state.missing?.instance === stage.instance && h("p", { class: "notice wait", testid: "missing", role: "alert" }, state.missing.words),
    state.input?.instance === stage.instance && inputNotice(live, state.input.words),
    receiptView(stage.instance),
  ];
}

/** What became of one of several inputs; that taps are taken the page shows anyway. */
const inputNotice = (live, words) => {
  const taken = words ? null : kind()?.taken?.(live);
  if (!words && !taken) return null;
  return h("p", { class: `notice ${words ? "bad" : "good"}`, testid: "input", role: "status", "data-taken": String(!words) }, words ?? taken);
};

/** Until the player's own stream is there; in how long that is, where the stream says. */
function heldBackView(live) {
  const left = opening.left(live, deadline.at);
  return h(
    "section",
    { class: "card calm", testid: "waiting-stream", "data-key": "waiting" },
    h("h1", {}, "Watch!"),
    h("p", { class: "muted" }, "The next question comes with the picture."),
    live.paused ? h("p", { class: "badge", testid: "paused" }, "Paused") : left !== null && countdown(performance.now() + left, live.question.window_ms ?? left),
  );
}

function closedView(live) {
  const { stage } = live;
  return [
    headView(live),
    kind()?.shown(live, own(stage.instance)),
    receiptView(stage.instance) ?? (!kind()?.counted && h("p", { class: "notice", testid: "receipt", "data-status": "none" }, "You gave no answer.")),
  ];
}

function receiptView(instance) {
  const { answer: given } = state;
  if (given?.instance !== instance) return null;
  const [tone, title, detail] = receiptWords(given);
  const attrs = { class: `notice receipt ${tone}`, testid: "receipt", role: "status" };
  Object.assign(attrs, { "data-status": given.status, "data-level": given.level, "data-code": given.code, "data-elapsed": given.elapsed_ms });
  return h("div", attrs, h("p", {}, h("b", {}, title)), detail && h("p", { class: "hint" }, detail));
}

function receiptWords({ status, level, choices, text, given, elapsed_ms, code, message, hint }) {
  if (status === "sending") {
    const isOnline = state.link === "online";
    return ["", `Sending ${said({ choices, text, given })} …`, isOnline ? null : "The connection is gone. Your answer goes out again by itself."];
  }
  if (code) return ["bad", code === "late" || code === "ended" ? "Too late" : "Not taken", [message, hint].filter(Boolean).map(asSentence).join(" ")];
  const when = elapsed_ms === undefined ? "" : ` after ${seconds(elapsed_ms)}`;
  const answer = { choices, text, given };
  const held = kind()?.heldAs?.(answer, when) ?? `${said(answer)} is your answer${when}.`;
  if (level === "provisional") return ["wait", "Taken, being confirmed", `${held} Other nodes are about to confirm it.`];
  if (status === "superseded") return ["good", "Your first answer counts", held];
  return ["good", "Answer accepted", held];
}

/** A result in words. */
export function verdictWord(result) {
  if (state.live?.voided) return "It does not count.";
  const own = kind()?.verdict?.(result, state.live);
  if (own) return own;
  if (!result.answered) return "No answer.";
  return result.correct ? "Correct!" : isPart(result) ? "Partly right." : "Not this time.";
}

/** Whether an answer that is not correct is worth something all the same; a bonus is for more than the answer. */
const isPart = ({ correct, points = 0, bonus = 0 }) => !correct && points - bonus > 0;

/** Whether a result has points to speak of: a round that gives none has no number, and a question may be for nothing. */
const isGain = ({ points }) => points !== undefined && (points !== 0 || state.live.question?.points !== 0);

function resultView(instance) {
  const { result } = state;
  if (result?.instance !== instance) return h("section", { class: "card calm" }, h("p", { class: "muted" }, "Counting …"));
  const tone = state.live.voided ? "" : result.correct ? "good" : isPart(result) ? "part" : result.answered ? "bad" : "";
  const sign = { good: "✓", part: "◐", bad: "✕" }[tone] ?? "–";
  return h(
    "section",
    { class: `card verdict ${tone}`, testid: "result", "data-correct": String(result.correct) },
    h("span", { class: "sign", "aria-hidden": "true" }, sign),
    h("h1", {}, verdictWord(result)),
    !state.live.voided && isGain(result) && h("p", { class: "gain", testid: "points", "data-value": result.points }, `${result.points < 0 ? "" : "+"}${count(result.points)}`),
    result.bonus !== 0 && h("p", { class: "muted", testid: "bonus", "data-value": result.bonus }, kind()?.bonus?.(result) ?? `${count(result.bonus)} of it a bonus`),
    result.lives !== undefined && h("p", { testid: "lives", "data-value": result.lives }, result.lives === 0 ? "You are out." : `${count(result.lives)} ${result.lives === 1 ? "life" : "lives"} left.`),
    h("p", { class: "muted" }, `${count(result.total)} points · rank ${count(result.rank)} of ${count(result.players)}`),
  );
}

function revealView(live) {
  const { question, stage, reveal } = live;
  return [
    resultView(stage.instance),
    h("h2", { class: "question", testid: "question" }, question.text),
    live.voided && h("p", { class: "notice", testid: "voided" }, "This question does not count."),
    kind()?.shown(live, own(stage.instance)),
    reveal?.explanation && h("p", { class: "notice", testid: "explanation" }, reveal.explanation),
    reveal?.corrected && h("p", { class: "notice", testid: "corrected" }, "A host has put this solution in place of the one that was fixed before."),
    proofLink(seen.address(live, state.ticket)),
  ];
}

/** The way to check that the key was fixed before anybody answered. */
const proofLink = (href) =>
  href && h("p", { class: "muted" }, h("a", { href, target: "_blank", rel: "noopener", testid: "verify" }, "Check that this was fixed before you answered"));

/** What a stake gave, once the prediction is resolved. */
export const stakeWords = ({ instance, stake, points, correct }) =>
  `Round ${instance}: you staked ${count(stake)}${correct ? " and were right" : ""}. It gave ${points < 0 ? "" : "+"}${count(points)}.`;

/** That, for as long as the question is on during which it came. */
function resolvedPart(live) {
  const { resolved } = state;
  if (!resolved || resolved.until !== live.stage.instance) return null;
  return h("p", { class: `notice ${resolved.correct ? "good" : ""}`, testid: "resolved", "data-value": resolved.points, role: "status" }, stakeWords(resolved));
}

function ownLine() {
  const { name, points, rank, players } = state.session;
  const place = rank ? `Rank ${count(rank)} of ${count(players)}` : "No rank yet";
  return h("p", { class: "card own-line", testid: "own-rank" }, h("b", {}, place), h("span", {}, `${name} · ${count(points)} points`));
}

/** Who stands right above and below the player, where the board above does not say so. */
function neighboursPart(live) {
  const { neighbours = [] } = state.result ?? {};
  const { name } = state.session;
  const isListed = (live.board ?? []).some((line) => line.rank >= (state.session.rank ?? 0));
  if (neighbours.length < 2 || (isListed && (live.board ?? []).some((line) => line.name === name))) return null;
  const row = (line) =>
    h(
      "li",
      { class: line.name === name ? "row own" : "row", testid: "neighbour", "data-key": `${line.rank}-${line.name}`, "data-rank": line.rank },
      h("span", { class: "rank" }, String(line.rank)),
      h("span", { class: "name" }, line.name),
      h("span", { class: "points", "data-value": line.points }, count(line.points)),
    );
  return [h("h2", {}, "Around you"), h("ol", { class: "board", testid: "neighbours" }, neighbours.map(row))];
}

const teamsOf = (live) => live.teams && [h("h2", {}, "Teams"), teamBoard(live.teams, state.session.team)];

const boardView = (live) => [ownLine(), teamPart(live), board(live.board ?? [], { ownName: state.session.name }), neighboursPart(live), teamsOf(live), friendsPart(state.session)];

const endView = (live) => [
  h("h1", {}, phaseWord("ended")),
  ownLine(),
  podium(live.board ?? [], { ownName: state.session.name }),
  neighboursPart(live),
  teamsOf(live),
  friendsPart(state.session),
];
