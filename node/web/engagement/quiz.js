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
