// The reactions meter: signs that players tap.

import { h } from "../common.js";
import { bars } from "./parts.js";

export const said = () => "Your reaction";

/** What a player gives is counted: there is no one answer to be told of. */
export const counted = true;

export function input(question) {
  const button = (text, index) =>
    h("button", { type: "button", class: "reaction", testid: `option-${index}`, "data-key": index, "data-action": "tap", "data-index": index, "aria-label": text }, text);
  return h("div", { class: "buttons reactions", role: "group", "aria-label": "Reactions" }, question.options.map(button));
}

export const shown = ({ question, tallies }) => bars(question.options, tallies);
