// How a quiz looks: options with a letter and a shape besides their colour, tallies, the reveal, the
// leaderboard and how complete a result is. Shared by the player's, the host's and the big screen's page.
//
// It turns views into elements and keeps no state; what a page does with a click is the page's business.

import { count, h, plural } from "../common.js";
import { cloud, histogram, textForm } from "./parts.js";

// Outlines in a 24 x 24 box. A show has up to 16 options: the second eight are drawn hollow.
const SHAPES = [
  ["triangle", "M12 2.5 22.5 21h-21Z"],
  ["diamond", "M12 1.5 22.5 12 12 22.5 1.5 12Z"],
  ["circle", "M12 2a10 10 0 1 1 0 20a10 10 0 1 1 0-20Z"],
  ["square", "M3 3h18v18H3Z"],
  ["star", "M12 1.5l3.1 7.1 7.7.7-5.8 5.1 1.7 7.6L12 18l-6.7 4 1.7-7.6L1.2 9.3l7.7-.7Z"],
  ["hexagon", "M6.5 2.5h11L23 12l-5.5 9.5h-11L1 12Z"],
  ["cross", "M8.5 2h7v6.5H22v7h-6.5V22h-7v-6.5H2v-7h6.5Z"],
  ["moon", "M15.5 1.8a10.3 10.3 0 1 0 6.7 14.7A8.6 8.6 0 0 1 15.5 1.8Z"],
];

/** The letter of an option: A, B, C, ... */
export const letter = (index) => String.fromCharCode(65 + index);

const lists = new Intl.ListFormat("en", { type: "conjunction" });

/** Letters of several options, as one says them: "A", "A and C", "A, C, and E". */
export const letters = (choices) => lists.format(choices.map(letter));

/** The shape of an option, drawn. */
function shape(index) {
  const [, outline] = SHAPES[index % SHAPES.length];
  const drawn = index < SHAPES.length ? "solid" : "hollow";
  return h("svg", { class: `shape ${drawn}`, viewBox: "-1 -1 26 26", "aria-hidden": "true" }, h("path", { d: outline }));
}

const mark = (index) => [shape(index), h("span", { class: "letter" }, letter(index))];

/** The options as buttons for a player; `picked` are chosen, `frozen` ones take no more clicks. */
export function optionButtons(question, { picked, frozen }) {
  const button = (text, index) => {
    const isPicked = picked.includes(index);
    const attrs = { type: "button", class: `option tone-${index % 8}`, testid: `option-${index}` };
    Object.assign(attrs, { "data-key": index, "data-action": "choose", "data-index": index });
    Object.assign(attrs, { "aria-pressed": String(isPicked), disabled: frozen });
    const tick = isPicked && h("span", { class: "tick", "aria-hidden": "true" }, "✓");
    return h("button", attrs, mark(index), h("span", { class: "text" }, text), tick);
  };
  return h("div", { class: "options", role: "group", "aria-label": "Answers" }, question.options.map(button));
}

/** The options to look at: with tallies as bars once there are any, correct ones marked once revealed. */
export function optionList(options, { tallies, correct, own } = {}) {
  const most = Math.max(1, ...(tallies ?? []));
  const sum = (tallies ?? []).reduce((a, b) => a + b, 0);
  const row = (text, index) => {
    const isRight = correct?.includes(index);
    const state = correct ? (isRight ? "right" : "wrong") : "";
    const attrs = { class: `option tone-${index % 8} ${state}`, testid: `option-${index}`, "data-key": index };
    if (correct) attrs["data-correct"] = String(isRight);
    return h(
      "li",
      attrs,
      mark(index),
      h("span", { class: "text" }, text, isRight && h("span", { class: "hidden" }, " (correct)")),
      own?.includes(index) && h("span", { class: "own" }, "your answer"),
      isRight && h("span", { class: "tick", "aria-hidden": "true" }, "✓"),
      tallies && tally(tallies[index] ?? 0, index, { most, sum }),
    );
  };
  const css = { "--columns": columns(options) };
  return h("ol", { class: `options shown ${tallies ? "tallied" : ""}`, css }, options.map(row));
}

/** Sends what is chosen, where several options are. */
export const submitButton = ({ picked, frozen, wanted = 1 }) =>
  !frozen && h(
    "button",
    { type: "button", class: "primary", testid: "submit", "data-action": "submit", disabled: picked.length < wanted },
    picked.length < wanted ? (wanted > 1 ? "Tap all in their order" : "Choose one or more") : `Send ${letters(picked)}`,
  );

/** What a player does while a question of the quiz is open. */
export function input(question, own) {
  if (question.form === "typed") return textForm("quiz", { label: "Your answer", frozen: own.frozen, value: own.text });
  if (question.form === "estimate") return estimateForm(question.scale, own);
  if (question.form === "order") return [optionButtons(question, own), orderLine(question, own), submitButton({ ...own, wanted: question.options.length })];
  return [optionButtons(question, own), question.multiple && submitButton(own)];
}

function estimateForm({ min, max, step, unit }, own) {
  const attrs = { type: "number", min, max, step: "any", inputmode: "decimal" };
  const label = `A number from ${count(min)} to ${count(max)}${unit ? ` ${unit}` : ""}${step === 1 ? "" : `, in steps of ${step}`}`;
  return textForm("quiz", { label, testid: "number", frozen: own.frozen, attrs });
}

/** The ends of a scale in words. */
const ends = ({ min, max, unit }) => [min, max].map((number) => `${count(number)}${unit ? ` ${unit}` : ""}`);

const orderLine = (question, { picked }) =>
  picked.length > 0 && h("p", { class: "muted", testid: "order" }, picked.map((index) => question.options[index]).join(" → "));

/** What the form of a typed answer or an estimate gives; in words, what is missing. */
export function collect(form) {
  const { given } = form.elements;
  if (given.value.trim() === "") return given.type === "number" ? "Type a number first." : "Write something first.";
  return given.type === "number" ? { number: given.value === "" ? undefined : Number(given.value) } : { text: given.value };
}

/** What everybody looks at: options, tallies, the solution, by form. */
export function shown({ question, tallies, reveal, results }, own) {
  const solution = reveal?.answer && h("p", { class: "notice good", testid: "solution" }, h("b", {}, reveal.answer));
  if (question.form === "typed") return [results?.words && cloud(results.words), solution];
  if (question.form === "estimate") return [solution, tallies && histogram(ends(question.scale), tallies), results?.mean !== undefined && results?.mean !== null && h("p", { class: "lead", testid: "mean", "data-value": results.mean }, "Mean ", h("b", {}, count(results.mean)))];
  if (question.form === "order") return [optionList(question.options, { tallies, own: own?.held.slice(0, 1) }), solution];
  return optionList(question.options, { tallies, correct: reveal?.correct, own: own?.held });
}

/** A player's answer in words. */
export const said = ({ choices, text, given }) => (choices?.length ? letters(choices) : text ?? (given?.number !== undefined ? count(given.number) : ""));

const LONG_TEXT = 45;

/** How many options stand side by side where there is room: full rows, fewer when texts are long. */
function columns(options) {
  const isLong = options.some((text) => text.length > LONG_TEXT);
  if (options.length > 6) return isLong ? 2 : 4;
  return options.length % 3 === 0 && !isLong ? 3 : options.length === 5 && !isLong ? 3 : 2;
}

function tally(votes, index, { most, sum }) {
  const percent = sum === 0 ? 0 : Math.round((100 * votes) / sum);
  return h(
    "span",
    { class: "tally", testid: `tally-${index}`, "data-value": votes, css: { "--share": (votes / most).toFixed(4) } },
    h("span", { class: "gauge", "aria-hidden": "true" }),
    h("span", { class: "votes" }, h("b", {}, count(votes)), h("span", { class: "percent" }, ` ${percent}%`)),
  );
}

/** Kinds whose rounds give the question's points; others give none, or pay by stakes. */
const SCORED = ["quiz", "elimination", "raffle", "tug"];

/** "Question 3 of 12" and what it is worth. */
export function questionHead(question) {
  const worth = [];
  if (SCORED.includes(question.kind ?? "quiz")) worth.push(question.points === 0 ? "no points" : plural(question.points, "point"));
  if (question.multiple) worth.push("several answers");
  return h(
    "p",
    { class: "question-head" },
    h("span", { testid: "question-number" }, `Question ${question.number} of ${question.of}`),
    h("span", { class: "muted" }, worth.join(" · ")),
  );
}

/** The leaderboard; the line called `ownName` is marked. */
export function board(lines, { ownName, from = 0 } = {}) {
  const row = (line, index) =>
    h(
      "li",
      {
        class: line.name === ownName ? "row own" : "row",
        testid: `board-row-${from + index}`,
        "data-key": line.name,
        css: { "--delay": `${index * 60}ms` },
      },
      h("span", { class: "rank" }, String(line.rank)),
      h("span", { class: "name" }, line.name),
      h("span", { class: "points", "data-value": line.points }, count(line.points)),
    );
  if (lines.length === 0 && from === 0) return h("p", { class: "muted" }, "Nobody has points yet.");
  return h("ol", { class: "board", testid: from === 0 ? "board" : "board-rest" }, lines.map(row));
}

/** The teams, best first; `own` is the reader's. */
export function teamBoard(teams, own = undefined) {
  const row = ({ rank, name, players, points }) =>
    h(
      "li",
      { class: name === own ? "row own" : "row", testid: `team-row-${name}`, "data-key": name, "data-value": points, "data-players": players },
      h("span", { class: "rank" }, String(rank)),
      h("span", { class: "name" }, name, h("span", { class: "muted" }, ` ${plural(players, "player")}`)),
      h("span", { class: "points", "data-value": points }, count(points)),
    );
  return h("ol", { class: "board teams", testid: "teams" }, teams.map(row));
}

/** The first three on their steps, the others below. */
export function podium(lines, { ownName } = {}) {
  const step = (line, index) =>
    h(
      "li",
      { class: `step step-${index + 1}`, testid: `board-row-${index}`, "data-key": line.name },
      h("span", { class: "name" }, line.name),
      h("span", { class: "points", "data-value": line.points }, `${count(line.points)} points`),
      h("span", { class: "block" }, h("span", { class: "rank" }, String(line.rank))),
    );
  const top = lines.slice(0, 3);
  const rest = lines.slice(3);
  if (top.length === 0) return board(lines);
  return h(
    "div",
    { class: "podium-and-rest" },
    h("ol", { class: "podium", testid: "podium" }, top.map(step)),
    rest.length > 0 && board(rest, { ownName, from: 3 }),
  );
}

const COVERAGE = {
  final: ["Final", "Every node has sealed this round."],
  settled: ["Settled", "Every firm answer is counted; some nodes are away."],
  partial: ["Partial", "Answers of absent nodes may still arrive."],
};

/**
 * How complete a result is. Hosts, who can do something about it, are told who is missing: `heardAt` is when
 * the result came, from where on its seconds are counted.
 */
export function coverage(result, heardAt = undefined) {
  if (!result) return null;
  const [word, meaning] = COVERAGE[result.status] ?? [result.status, ""];
  const since = ({ since_ms }) => Math.round((since_ms + performance.now() - heardAt) / 1000);
  const missing = heardAt === undefined ? "" : result.missing.map((node) => `${node.node} (${since(node)} s)`).join(", ");
  const sign = { final: "●", settled: "◐", partial: "○" }[result.status] ?? "·";
  return h(
    "span",
    { class: `badge coverage ${result.status}`, testid: "coverage", "data-status": result.status, title: meaning },
    h("span", { "aria-hidden": "true" }, sign),
    ` ${word}`,
    missing !== "" && h("span", { class: "missing" }, ` without ${missing}`),
  );
}

const PHASES = {
  draft: "Not open yet",
  lobby: "Lobby",
  intro: "Get ready",
  open: "Answer now",
  closed: "Answers closed",
  tallies: "The answers",
  reveal: "The solution",
  board: "Leaderboard",
  ended: "The end",
  aborted: "Broken off",
};

/** A phase in words. */
export const phaseWord = (phase) => PHASES[phase] ?? phase;

/** A phase as an element that tests and style sheets can rely on. */
export const phaseBadge = (stage) =>
  h(
    "span",
    { class: "badge phase", testid: "phase", "data-phase": stage.phase, "data-instance": stage.instance },
    phaseWord(stage.phase),
  );

/** One sentence on what is going on, for screen readers. */
export function sentence(view) {
  const { question, stage, reveal } = view;
  if (stage.phase === "intro" && question) return `Question ${question.number}: ${question.text}`;
  if (stage.phase === "open" && question) return `Question ${question.number} is open: ${question.text}`;
  const drawn = view.results?.drawn?.map((each) => each.name) ?? [];
  if (stage.phase === "reveal" && question?.kind === "raffle") return drawn.length > 0 ? `Drawn: ${lists.format(drawn)}.` : "Nobody entered.";
  if (stage.phase === "reveal" && reveal?.correct.length > 0) return `The correct answer is ${letters(reveal.correct)}.`;
  if (stage.phase === "reveal" && reveal?.answer) return `The correct answer is ${reveal.answer}.`;
  return `${phaseWord(stage.phase)}.`;
}
