// The elimination: a wrong answer or none costs a life.

import { count, h } from "../common.js";
import { optionButtons, optionList } from "./options.js";

export { said } from "./quiz.js";

const lives = (many) => `${count(many)} ${many === 1 ? "life" : "lives"}`;

/** What a player has left of it; who has just come, or comes back, has what everybody begins with. */
const left = ({ lives: all }, own) => {
  if (own.lives === undefined) return `${lives(all)} to begin with`;
  return own.lives === 0 ? "You are out" : `You have ${lives(own.lives)} left`;
};

const stakes = (question, own) =>
  h("p", { class: "muted", testid: "stakes" }, [left(question, own), question.prize > 0 && `${count(question.prize)} points for the survivors`].filter(Boolean).join(" · "));

export const input = (question, own) => [optionButtons({ ...question, multiple: false }, own), stakes(question, own)];

export function shown({ question, tallies, reveal, results }, own) {
  const survivors = results?.survivors;
  return [
    optionList(question.options, { tallies, correct: reveal?.correct, own: own?.held }),
    survivors !== null && survivors !== undefined && h("p", { class: "lead", testid: "survivors", "data-value": survivors }, h("b", {}, count(survivors)), " still in"),
  ];
}

/** Whoever gives a wrong answer may survive all the same, and what that gives is no part of an answer. */
export const bonus = ({ bonus: sum, correct }) => (correct ? null : `${count(sum)} as one of the survivors`);
