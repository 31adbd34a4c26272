// The survey: several small questions on one page, and a comment.

import { h } from "../common.js";
import { bars, cloud } from "./parts.js";

const SKIPPED = 255;

const given = (choices) => choices.filter((choice) => choice !== SKIPPED).length;

export const said = ({ choices }) => `${given(choices)} of ${choices.length} answered`;

/** What is held, in a sentence. */
export const heldAs = ({ choices }, when) => `You answered ${given(choices)} of ${choices.length}${when}.`;

export function input(question, own) {
  const item = ({ text, options }, at) => {
    const radio = (option, index) =>
      h("label", { class: "option", "data-key": index }, h("input", { type: "radio", name: `item-${at}`, value: index, testid: `item-${at}-${index}`, disabled: own.frozen }), h("span", { class: "text" }, option));
    return h("fieldset", { class: "card", "data-key": at }, h("legend", {}, text), options.map(radio));
  };
  return h(
    "form",
    { class: "give", "data-kind": "survey", "data-key": "form-survey", "data-items": question.items.length },
    question.items.map(item),
    question.comment && h("label", { class: "field" }, h("span", {}, "Anything else?"), h("input", { name: "comment", testid: "comment", maxlength: 200, disabled: own.frozen })),
    h("button", { class: "primary", testid: "submit", disabled: own.frozen }, "Send"),
  );
}

export function collect(form) {
  const chosen = (at) => form.querySelector(`[name=item-${at}]:checked`);
  const choices = Array.from({ length: Number(form.dataset.items) }, (_, at) => (chosen(at) ? Number(chosen(at).value) : SKIPPED));
  const text = form.elements.comment?.value;
  if (given(choices) === 0 && !text?.trim()) return "Answer something first.";
  return { choices, text };
}

export function shown({ question, results }) {
  if (!results) return null;
  const item = ({ text, options }, at) => h("section", { "data-key": at }, h("h2", {}, text), bars(options, results.items[at]));
  return [h("div", { class: "items" }, question.items.map(item)), results.comments.length > 0 && cloud(results.comments)];
}
