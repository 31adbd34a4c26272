// The prediction: an option and a stake on it; resolved or cancelled later.

import { count, h } from "../common.js";
import { letters, optionList } from "./options.js";

export const said = ({ choices, given }) => `${letters(choices)}${given?.stake ? ` for ${count(given.stake)} points` : ""}`;

/** What counts of a stake at most: what a player has, or the credit. */
const limitOf = ({ stake_max, credit }, { points = 0 }) => Math.min(stake_max, Math.max(credit, points));

export function input(question, own) {
  const limit = limitOf(question, own);
  const radio = (text, index) =>
    h("label", { class: `option tone-${index % 8}`, "data-key": index }, h("input", { type: "radio", name: "choice", value: index, testid: `option-${index}`, disabled: own.frozen }), h("span", { class: "text" }, `${letters([index])} ${text}`));
  return h(
    "form",
    { class: "card give", "data-kind": "prediction", "data-key": "form-prediction" },
    h("div", { class: "options" }, question.options.map(radio)),
    h("label", { class: "field" }, h("span", {}, `Your stake, up to ${count(limit)} points`), h("input", { name: "stake", testid: "stake", type: "number", min: 0, max: limit, value: Math.min(question.credit, limit), disabled: own.frozen })),
    h("button", { class: "primary", testid: "submit", disabled: own.frozen }, "Stake"),
  );
}

export function collect(form) {
  const chosen = form.querySelector("[name=choice]:checked");
  if (!chosen) return "Choose what will come true first.";
  return { choices: [Number(chosen.value)], stake: Number(form.elements.stake.value) };
}

export function shown({ question, tallies, results }, own) {
  const came = results?.came_true;
  const word = !came ? "Still open: nothing is paid yet." : came.length === 0 ? "Cancelled: every stake is given back." : `${letters(came)} came true.`;
  return [
    optionList(question.options, { tallies, correct: came?.length ? came : undefined, own: own?.held }),
    results?.stakes && h("p", { class: "muted", testid: "stakes" }, results.stakes.map((sum, index) => `${letters([index])}: ${count(sum)}`).join(" · "), " staked"),
    results && h("p", { class: "notice", testid: "came-true", "data-state": came ? (came.length ? "resolved" : "cancelled") : "open" }, word),
  ];
}
