// The script on the host's page: a part of it around what is asked now, a field to find any other question, and of
// the chosen question its rounds, on which can be ruled however late.
//
// A script may have tens of thousands of questions: those that nobody looks at are not drawn. Rounds are fetched
// when a question is chosen, and again after every command and whenever the node tells that something was ruled.

import { count, h, plural } from "./common.js";
import { letters } from "./engagement/options.js";
import { lateRulings, rule } from "./host-rulings.js";

/** What of this is on the page and nowhere else: what is looked for, which question is chosen, and its rounds. */
export const script = { words: "", chosen: null, rounds: null, error: null };

/** Questions that are drawn before the current one and after it, or of those that were found. */
const BEFORE = 4;
const AFTER = 20;

/** Chooses a question, or none if it was the chosen one. */
export function chooseQuestion(number) {
  Object.assign(script, { chosen: script.chosen === number ? null : number, rounds: null, error: null });
}

/** The script, or what was found in it. */
export function scriptCard(view) {
  const { questions } = view;
  const found = script.words === "" ? null : matches(questions, script.words);
  const from = Math.max(0, Math.min((view.question?.number ?? 1) - 1 - BEFORE, questions.length - 1 - BEFORE - AFTER));
  const drawn = (found ?? questions.slice(from)).slice(0, BEFORE + 1 + AFTER);
  const below = (found ?? questions).length - drawn.length - (found ? 0 : from);
  return h(
    "section",
    { class: "card script", "aria-label": "Questions" },
    h("h2", {}, "Questions"),
    h("input", { name: "question", testid: "find-question", type: "search", autocomplete: "off", placeholder: `Number or words, of ${plural(questions.length, "question")}`, "aria-label": "Find a question" }),
    !found && from > 0 && h("p", { class: "muted", testid: "questions-above" }, `${count(from)} before these`),
    found?.length === 0 && h("p", { class: "muted", testid: "no-question" }, "No question has these words."),
    h("ol", { testid: "questions" }, drawn.map((each) => row(view, each))),
    below > 0 && h("p", { class: "muted", testid: "questions-below" }, `${count(below)} more after these`),
  );
}

function matches(questions, words) {
  const wanted = words.toLowerCase();
  const byNumber = /^\d+$/.test(words) && questions[Number(words) - 1];
  const has = ({ text, options, answer }) => [text, answer ?? "", ...options].some((each) => each.toLowerCase().includes(wanted));
  const found = questions.filter(has);
  return byNumber ? [byNumber, ...found.filter((each) => each !== byNumber)] : found;
}

function row(view, question) {
  const { number, text, correct, options, answer, kind } = question;
  const isCurrent = number === view.question?.number;
  const isChosen = number === script.chosen;
  const solution = correct.length > 0 && options.length > 0 ? `${letters(correct)}: ${correct.map((index) => options[index]).join(", ")}` : answer || (kind ?? "").replace("_", " ");
  return h(
    "li",
    { class: isCurrent ? "current" : "", testid: `question-${number}`, "data-key": number, "aria-current": isCurrent ? "step" : null },
    h(
      "button",
      { type: "button", class: "entry", testid: `choose-question-${number}`, "data-action": "question", "data-number": number, "aria-expanded": String(isChosen) },
      h("span", { class: "number" }, String(number)),
      h("span", { class: "text" }, text),
      h("span", { class: "muted" }, solution, marks(view.rounds.find((line) => line.number === number))),
    ),
    isChosen && againPart(view, number),
    isChosen && roundsPart(),
  );
}

/** Going back to an earlier question; the current one has a button of its own. */
function againPart({ next, question }, number) {
  if (!next.includes("back") || !(number < question?.number)) return null;
  const label = number === question.number - 1 ? "Go back to it" : `Go back to it, ${question.number - number} questions`;
  return h(
    "div",
    { class: "buttons" },
    rule("ask-again", label, { command: "back", question: number }),
    h("p", { class: "muted" }, "What was asked of it and since gives nothing then: the show comes to all of it again."),
  );
}

/** What is to be seen of a question's last round without looking into it. */
function marks(line) {
  if (!line) return null;
  return [
    line.voided && h("span", { class: "badge bad" }, "void"),
    line.resolved === false && !line.voided && h("span", { class: "badge settled" }, "to be resolved"),
    line.revision > 0 && !line.voided && h("span", { class: "badge" }, "ruled on"),
  ];
}

function roundsPart() {
  const { rounds, error } = script;
  if (error) return h("p", { class: "notice bad", testid: "rounds-error" }, error);
  if (rounds === null) return h("p", { class: "muted" }, "Looking …");
  if (rounds.length === 0) return h("p", { class: "muted", testid: "no-rounds" }, "Not asked yet.");
  return h("div", { class: "rounds", testid: "rounds" }, rounds.map(roundPart));
}

function roundPart(round) {
  const { instance, voided, answered, answer, can } = round;
  return h(
    "section",
    { class: "round", testid: `round-${instance}`, "data-key": instance, "data-voided": String(voided), "data-answer": answer, "data-revision": round.revision },
    h("p", {}, h("b", {}, `Round ${count(instance)}`), ` · ${count(answered)} answered`, voided && " · gives nothing"),
    answer !== "" && h("p", { class: "muted" }, `Solution: ${answer}`),
    can.length === 0 ? h("p", { class: "muted" }, "It can be ruled on once it is closed.") : lateRulings(round),
  );
}
