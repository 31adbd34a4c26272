// The elimination: a wrong answer or none costs a life.

import { count, h, plural } from "../common.js";
import { optionButtons, optionList } from "./options.js";

export { said } from "./quiz.js";

const stakes = (question) =>
  h("p", { class: "muted" }, [plural(question.lives, "life").replace("lifes", "lives"), question.prize > 0 && `${count(question.prize)} points to split`].filter(Boolean).join(" · "));

export const input = (question, own) => [optionButtons({ ...question, multiple: false }, own), stakes(question)];

export function shown({ question, tallies, reveal, results }, own) {
  const survivors = results?.survivors;
  return [
    optionList(question.options, { tallies, correct: reveal?.correct, own: own?.held }),
    survivors !== null && survivors !== undefined && h("p", { class: "lead", testid: "survivors", "data-value": survivors }, h("b", {}, count(survivors)), " still in"),
  ];
}
