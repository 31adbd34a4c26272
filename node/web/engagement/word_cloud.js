// The word cloud: a few words of every player.

import { cloud, textForm } from "./parts.js";
import { plural } from "../common.js";

export const said = ({ text }) => text ?? "";

export const input = (question, own) =>
  textForm("word_cloud", { label: `Up to ${plural(question.words, "word")}, with commas between`, frozen: own.frozen, value: own.text });

export const collect = (form) => (form.elements.given.value.trim() === "" ? "Write something first." : { text: form.elements.given.value });

export const shown = ({ results }) => (results?.words ? cloud(results.words) : null);
