// The tug of war: sides tap against each other.

import { count, h } from "../common.js";
import { bars } from "./parts.js";

export const said = () => "Your taps";

export const input = () =>
  h("button", { type: "button", class: "primary pull", testid: "pull", "data-action": "tap", "data-index": 0 }, "Pull!");

export function shown({ question, tallies, results }) {
  return [
    bars(question.sides, results?.pull),
    tallies && h("p", { class: "muted", testid: "taps", "data-value": tallies.reduce((a, b) => a + b, 0) }, question.sides.map((side, index) => `${side}: ${count(tallies[index])} taps, ${count(results?.players?.[index] ?? 0)} players`).join(" · ")),
  ];
}
