// What a host rules on a closed round, the current one or an earlier one: another key, another accepted text, what
// came true; and on posts.
//
// A ruling names its round, and ruling the same again changes nothing. What is drawn here becomes a command in
// host.js: a button bears its whole body, a form is read by rulingOf.

import { count, h, plural } from "./common.js";
import { letters } from "./engagement/options.js";

/** What becomes of a post, and what a host presses for it. */
const FATES = { shown: "Show", hidden: "Hide", answered: "Answered" };

/** So many waiting posts a node tells of. */
const WAITING_TOLD = 50;

/** A choice is shown with its solution from the start; other kinds show themselves. */
export const isPlain = (question, script) => script.options.length > 0 && script.correct.length > 0 && question.form !== "order";

export const rule = (testid, label, body, attrs = {}) =>
  h("button", { type: "button", testid, "data-key": testid, "data-action": "rule", "data-body": JSON.stringify(body), ...attrs }, label);

/** All that can be ruled now on the current round, folded away; nothing if that is nothing. */
export function rulingPart(view, script) {
  const { next, question, results, stage: { instance } } = view;
  const parts = roundRulings({ can: next, question, results, instance }, script);
  const posts = results?.posts ?? [];
  if (posts.length > 0) parts.push(posts.map((post) => postLine(post, instance)));
  return parts.length > 0 && h("details", { class: "rulings", testid: "rulings" }, h("summary", {}, "Rulings"), h("div", { class: "buttons" }, parts));
}

/** Posts that wait for a host: nobody else sees them before that, so they are not folded away. */
export function waitingPart({ posts_waiting: posts = [], stage: { instance } }) {
  if (posts.length === 0) return null;
  const many = posts.length < WAITING_TOLD ? plural(posts.length, "question") : `${count(posts.length)} questions or more`;
  return h(
    "section",
    { class: "waiting", testid: "waiting", "data-key": "waiting", "data-value": posts.length, "aria-label": "Waiting for you" },
    h("p", { class: "notice wait" }, `${many} ${posts.length === 1 ? "waits" : "wait"} for you: nobody sees ${posts.length === 1 ? "it" : "them"} yet.`),
    posts.map((post) => postLine(post, instance)),
  );
}

function postLine({ id, text, name }, instance) {
  const fate = (fate) => rule(`${fate}-${id}`, FATES[fate], { command: "moderate", instance, post: id, fate }, { class: "quiet" });
  return h("p", { "data-key": `fate-${id}` }, text, " ", h("span", { class: "muted" }, name), " ", Object.keys(FATES).map(fate));
}

/** What can be ruled on what a round gives, but for declaring it void: `can` has the commands. */
function roundRulings({ can, question, results, instance }, script) {
  const optionRow = (command, word) => script.options.map((text, index) =>
    rule(`${command}-${index}`, `${word}: ${letters([index])} ${text}`, { command, instance, key: { choices: [index] } }));
  const parts = [];
  if (can.includes("resolve")) parts.push(optionRow("resolve", "Came true"), rule("resolve-none", "Nothing of it: cancel", { command: "resolve", instance, key: { choices: [] } }));
  if (can.includes("rescore")) parts.push(isPlain(question, script) && !question.multiple ? optionRow("rescore", "Correct") : rescoreForm(question, script, instance));
  if (can.includes("accept")) parts.push((results?.words ?? []).map(({ text }) => rule(`accept-${text}`, `Accept “${text}”`, { command: "accept", instance, text })), acceptForm(instance));
  return parts;
}

/** The rulings on a round that the show may have left long ago. */
export function lateRulings(round) {
  const { can, question, results, instance, correct } = round;
  const parts = roundRulings({ can, question, results, instance }, { options: question.options ?? [], correct });
  if (can.includes("void")) parts.push(rule("void-round", "Declare void", { command: "void", instance }));
  if (can.includes("restore")) parts.push(rule("restore-round", "Let it count again", { command: "restore", instance }));
  return parts.length > 0 && h("div", { class: "buttons" }, parts);
}

// ---- One more accepted answer ----

/** Any text, also one that nobody has typed yet. */
const acceptForm = (instance) =>
  h("form", { class: "say", testid: "form-accept", "data-key": `accept-${instance}`, "data-form": "accept", "data-instance": instance, novalidate: true },
    h("input", { name: "accepted", testid: "accepted", maxlength: 200, autocomplete: "off", placeholder: "Another right answer", "aria-label": "Another right answer" }),
    h("button", { testid: "do-accept" }, "Accept it too"));

function acceptOf(form) {
  const text = form.querySelector("[name=accepted]").value.trim();
  return text === "" ? null : { command: "accept", instance: Number(form.dataset.instance), text };
}

// ---- Another key, where it is more than one option ----

/** How each form of a question asks for another key, and what its fields come to. */
const FORMS = {
  choice: {
    fields: (_, { options }) => options.map((text, index) =>
      h("label", { "data-key": index }, h("input", { type: "checkbox", name: "right", testid: `right-${index}`, value: index }), ` ${letters([index])} ${text}`)),
    key: (form) => ({ choices: numbersOf(form, "[name=right]:checked") }),
  },
  typed: {
    fields: () => h("textarea", { name: "texts", testid: "texts", rows: 2, placeholder: "All right answers, one a line", "aria-label": "All right answers, one a line" }),
    key: (form) => ({ texts: form.querySelector("[name=texts]").value.split("\n").map((text) => text.trim()).filter(Boolean) }),
  },
  estimate: {
    fields: ({ scale: { min, max, step, unit } }) =>
      h("input", { name: "sought", testid: "sought", type: "number", min, max, step: "any", "data-min": min, "data-max": max, "data-step": step, placeholder: `The right number${unit ? ` in ${unit}` : ""}`, "aria-label": "The right number" }),
    key: (form) => stepOf(form.querySelector("[name=sought]")),
  },
  order: {
    fields: (_, { options, correct }) => options.map((_, place) =>
      h("select", { "data-key": place, name: "place", testid: `place-${place}`, "aria-label": `What comes as number ${place + 1}` }, options.map((text, index) => h("option", { value: index, selected: correct[place] === index }, text)))),
    key: (form) => ({ order: numbersOf(form, "[name=place]") }),
  },
};

/** How far a number in thousandths may be off a whole one by how computers multiply. */
const STEP_SLACK = 1e-6;

const numbersOf = (form, css) => [...form.querySelectorAll(css)].map(({ value }) => Number(value));

/** A number as a step of its scale, from the smallest possible; or why nobody could answer it. */
function stepOf({ value, dataset }) {
  if (value.trim() === "") return null;
  const [sought, min, max, step] = [value, dataset.min, dataset.max, dataset.step].map((number) => Math.round(Number(number) * 1000));
  if (!(sought >= min && sought <= max)) return { refused: `The scale goes from ${dataset.min} to ${dataset.max}.` };
  if (Math.abs(Number(value) * 1000 - sought) > STEP_SLACK) return { refused: "Up to three decimals." };
  // The last step is the nearest to the largest number, and does not go beyond it.
  const last = Math.round((max - min) / step);
  const at = (place) => Math.min(max, min + place * step);
  const number = Math.min(last, Math.round((sought - min) / step));
  if (at(number) === sought) return { number };
  const below = Math.floor((sought - min) / step);
  const near = below < last ? `the steps next to it are ${at(below) / 1000} and ${at(below + 1) / 1000}` : `the last step is ${at(last) / 1000}`;
  return { refused: `Nobody can answer ${value}: ${near}.` };
}

function rescoreForm(question, script, instance) {
  const form = FORMS[question.form];
  if (!form) return null;
  const attrs = { class: "say", testid: "form-rescore", "data-key": `rescore-${instance}`, "data-form": "rescore", "data-of": question.form, "data-instance": instance, novalidate: true };
  return h("form", attrs, form.fields(question, script), h("button", { testid: "do-rescore" }, "This is right instead"));
}

function rescoreOf(form) {
  const key = FORMS[form.dataset.of].key(form);
  if (key?.refused) return key;
  const isEmpty = !key || Object.values(key).some((value) => value.length === 0);
  return isEmpty ? null : { command: "rescore", instance: Number(form.dataset.instance), key };
}

const WISHES = { rescore: rescoreOf, accept: acceptOf };

/** Whether a form rules on a round. */
export const isRuling = (form) => form.dataset.form in WISHES;

/** The command that such a form means; nothing while it is not filled in, and `refused` where it makes no sense. */
export const rulingOf = (form) => WISHES[form.dataset.form](form);
