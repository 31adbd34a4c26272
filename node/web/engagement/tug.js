// The tug of war: sides tap against each other.

import { h, plural } from "../common.js";
import { bars } from "./parts.js";

export const said = () => "Your taps";

/** What a player gives is counted: there is no one answer to be told of. */
export const counted = true;

/** What is held is the side, from the first taps on. */
export const heldAs = () => "Your taps count.";

export const input = (question, own) => [
  h("button", { type: "button", class: "primary pull", testid: "pull", "data-action": "tap", "data-index": 0 }, "Pull!"),
  own.held.length > 0 && h("p", { class: "lead", testid: "side", "data-value": own.held[0] }, `You pull for ${question.sides[own.held[0]]}.`),
];

export function shown({ question, tallies, results }) {
  return [
    // A side's pull is its taps for every hundred of its players.
    bars(question.sides, results?.pull.map((pull) => pull / 100)),
    results && h("p", { class: "muted" }, "Taps for each player"),
    tallies && h("p", { class: "muted", testid: "taps", "data-value": tallies.reduce((a, b) => a + b, 0) }, question.sides.map((side, index) => `${side}: ${plural(tallies[index], "tap")}, ${plural(results?.players?.[index] ?? 0, "player")}`).join(" · ")),
  ];
}
