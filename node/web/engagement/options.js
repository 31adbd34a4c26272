// Options with a letter and a shape besides their colour: as buttons, as bars, marked once the key is known. Shared by
// the kinds that offer some, and by the host's page.

import { count, h, list } from "../common.js";

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

/** Letters of several options, as one says them: "A", "A and C", "A, C, and E". */
export const letters = (choices) => list(choices.map(letter));

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
