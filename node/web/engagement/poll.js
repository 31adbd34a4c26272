// The poll: options without a right one.

import { optionButtons, optionList, submitButton } from "./quiz.js";
import { said as letters } from "./quiz.js";

export const said = letters;

export const input = (question, own) => [optionButtons(question, own), question.multiple && submitButton(own)];

export const shown = ({ question, tallies }, own) => optionList(question.options, { tallies, own: own?.held });
