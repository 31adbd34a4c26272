// What surrounds every question, whatever its kind: its number and worth, the leaderboard, how complete a result is, the
// phases in words. Shared by the player's, the host's and the big screen's page.
//
// It turns views into elements and keeps no state. What a kind says in its own words, its script has.

import { count, h, plural } from "./common.js";
import { letters } from "./engagement/options.js";

/** "Question 3 of 12" and what it is worth, where that is known beforehand. */
export function questionHead(question) {
  const worth = [];
  if (question.points !== undefined) worth.push(question.points === 0 ? "no points" : plural(question.points, "point") + (question.per_option ? " for each right answer" : ""));
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

/** One sentence on what is going on, for screen readers: in the words of the kind's script, where it has some. */
export function sentence(view, kind) {
  const { question, stage, reveal } = view;
  if (stage.phase === "intro" && question) return `Question ${question.number}: ${question.text}`;
  if (stage.phase === "open" && question) return `Question ${question.number} is open: ${question.text}`;
  const own = question && kind?.sentence?.(view);
  if (own) return own;
  if (stage.phase === "reveal" && reveal?.correct.length > 0) return `The correct answer is ${letters(reveal.correct)}.`;
  if (stage.phase === "reveal" && reveal?.answer) return `The correct answer is ${reveal.answer}.`;
  return `${phaseWord(stage.phase)}.`;
}
