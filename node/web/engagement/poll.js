// The poll: options without a right one.

import { optionButtons, optionList, submitButton } from "./options.js";

export { said } from "./quiz.js";

export const input = (question, own) => [optionButtons(question, own), question.multiple && submitButton(own)];

export const shown = ({ question, tallies }, own) => optionList(question.options, { tallies, own: own?.held });
