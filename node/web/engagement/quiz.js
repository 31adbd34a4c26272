// The quiz: choose one or several, type, estimate, put in order.

import { count, h } from "../common.js";
import { letters, optionButtons, optionList, submitButton } from "./options.js";
import { cloud, histogram, textForm } from "./parts.js";

/** What a player does while a question of the quiz is open. */
export function input(question, own) {
  if (question.form === "typed") return textForm("quiz", { label: "Your answer", frozen: own.frozen, value: own.text });
  if (question.form === "estimate") return estimateForm(question.scale, own);
  if (question.form === "order") return [optionButtons(question, own), orderLine(question, own), submitButton({ ...own, wanted: question.options.length })];
  return [optionButtons(question, own), question.multiple && submitButton(own)];
}

/** A number with what it counts. */
const withUnit = (number, unit) => `${count(number)}${unit ? ` ${unit}` : ""}`;

function estimateForm({ min, max, step, unit }, own) {
  // Keypads of digits alone have no minus on some phones.
  const attrs = { type: "number", min, max, step: "any", inputmode: min < 0 ? null : "decimal" };
  const label = unit ? `Your estimate in ${unit}` : "Your estimate";
  const hint = `From ${count(min)} to ${count(max)}${step === 1 ? "" : `, in steps of ${count(step)}`}`;
  return textForm("quiz", { label, hint, testid: "number", frozen: own.frozen, value: own.number, attrs });
}

/** The ends of a scale in words. */
const ends = ({ min, max, unit }) => [min, max].map((number) => withUnit(number, unit));

/** The right number as a node says it, in words that begin with it. */
const rightOf = (reveal) => (reveal?.answer ? Number.parseFloat(reveal.answer) : undefined);

/** How far a number is from the right one, in words. */
function distance(number, right, unit) {
  if (number === right) return "exactly right";
  return `${withUnit(Math.abs(number - right), unit)} ${number > right ? "too high" : "too low"}`;
}

/** Which of so many bars along a scale a number is in, as nodes count. */
function barOf(number, { min, max, step }, bars) {
  const steps = (to) => Math.round((to - min) / step);
  return Math.min(bars - 1, Math.floor((steps(number) * bars) / (Math.max(1, steps(max)) + 1)));
}

/** What an estimate came to, and on a phone how close its player was. */
function estimated({ question: { scale }, tallies, reveal, results }, own) {
  const right = rightOf(reveal);
  const bar = (number) => (number === undefined ? undefined : barOf(number, scale, tallies.length));
  return [
    reveal?.answer && h("p", { class: "notice good", testid: "solution" }, "Right: ", h("b", {}, withUnit(right, scale.unit))),
    right !== undefined && own?.number !== undefined && h("p", { class: "lead", testid: "distance", "data-value": own.number }, "You said ", h("b", {}, withUnit(own.number, scale.unit)), `: ${distance(own.number, right, scale.unit)}.`),
    tallies && histogram(ends(scale), tallies, { own: bar(own?.number), right: bar(right) }),
    results?.mean !== undefined && results?.mean !== null && h("p", { class: "lead", testid: "mean", "data-value": results.mean }, "Mean ", h("b", {}, withUnit(results.mean, scale.unit))),
  ];
}

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
  if (question.form === "estimate") return estimated({ question, tallies, reveal, results }, own);
  if (question.form === "order") return [optionList(question.options, { tallies, own: own?.held.slice(0, 1) }), solution];
  return optionList(question.options, { tallies, correct: reveal?.correct, own: own?.held });
}

/** A player's answer in words. */
export const said = ({ choices, text, given }, question) => (choices?.length ? letters(choices) : text ?? (given?.number !== undefined ? withUnit(given.number, question?.scale?.unit) : ""));

/** Of an estimate that it was near or far: few are right to the last digit. */
export function verdict({ answered, correct, number }, { question, reveal }) {
  const right = rightOf(reveal);
  if (question.form !== "estimate" || !answered || right === undefined) return null;
  return number === right ? "Exactly right!" : correct ? "Close!" : "Too far off.";
}
