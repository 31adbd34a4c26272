// The raffle: enter with one tap; who won can be checked afterwards.

import { count, h, list, plural } from "../common.js";

export const said = () => "You are in";

/** What the reveal says to a player. */
export const verdict = (result) => (result.correct ? "You won!" : result.answered ? "Not drawn this time." : "You did not enter.");

/** What is going on, where the usual words do not fit. */
export function sentence({ stage, results }) {
  if (stage.phase !== "reveal") return null;
  const drawn = results?.drawn?.map((each) => each.name) ?? [];
  return drawn.length > 0 ? `Drawn: ${list(drawn)}.` : "Nobody entered.";
}

/** What is held, in a sentence. */
export const heldAs = (_, when) => `You are in${when}.`;

export const input = (_, own) =>
  h("button", { type: "button", class: "primary", testid: "enter", "data-action": "choose", "data-index": 0, disabled: own.frozen }, own.frozen ? "You are in" : "Enter the raffle");

export function shown({ question, tallies, results }) {
  const drawn = results?.drawn ?? [];
  const winner = (each) => h("li", { class: "row", "data-key": each.ticket }, h("span", { class: "name" }, each.name), h("code", { class: "muted" }, each.ticket.slice(0, 12)));
  return [
    h("p", { class: "lead" }, tallies ? `${count(tallies[0] ?? 0)} entered` : "", ` · ${plural(question.winners, "winner")}`),
    drawn.length > 0 && h("ol", { class: "board", testid: "winners" }, drawn.map(winner)),
    results && h("p", { class: "muted" }, "Hash of all tickets: ", h("code", {}, results.tickets.slice(0, 16))),
  ];
}
