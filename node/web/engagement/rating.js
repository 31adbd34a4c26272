// The rating: a step on a scale.

import { h } from "../common.js";
import { bars, histogram } from "./parts.js";

const steps = (question) => Array.from({ length: question.steps }, (_, index) => index);

const labels = ({ low, high }) => (low || high) && h("p", { class: "muted scale-labels" }, h("span", {}, low ?? ""), h("span", {}, high ?? ""));

export const said = ({ choices }) => (choices.length === 0 ? "no step" : `Step ${choices[0] + 1}`);

export function input(question, own) {
  const button = (index) =>
    h("button", { type: "button", class: "step-button", testid: `option-${index}`, "data-key": index, "data-action": "choose", "data-index": index, "aria-pressed": String(own.picked.includes(index)), disabled: own.frozen }, String(index + 1));
  return [h("div", { class: "buttons scale", role: "group", "aria-label": "Scale" }, steps(question).map(button)), labels(question)];
}

export function shown({ question, tallies, results }) {
  const mean = results?.mean;
  const ends = [`1 ${question.low ?? ""}`, `${question.steps} ${question.high ?? ""}`];
  return [
    tallies ? histogram(ends, tallies) : [bars(steps(question).map((index) => String(index + 1)), null, question.steps), labels(question)],
    mean !== null && mean !== undefined && h("p", { class: "lead", testid: "mean", "data-value": mean.toFixed(2) }, "Mean ", h("b", {}, mean.toFixed(2))),
  ];
}
