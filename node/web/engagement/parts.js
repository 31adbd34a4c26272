// Pieces that several kinds share: bars, a form for one text, words by how often they came.

import { count, h } from "../common.js";

/** Counts as labelled bars; without counts the labels alone. So many stand side by side where there is room. */
export function bars(labels, tallies, columns = 2) {
  const most = Math.max(1, ...(tallies ?? []));
  const row = (label, index) =>
    h(
      "li",
      { class: `option shown-bar tone-${index % 8}`, testid: `option-${index}`, "data-key": index },
      h("span", { class: "text" }, label),
      tallies && h(
        "span",
        { class: "tally", testid: `tally-${index}`, "data-value": tallies[index] ?? 0, css: { "--share": ((tallies[index] ?? 0) / most).toFixed(4) } },
        h("span", { class: "gauge", "aria-hidden": "true" }),
        h("span", { class: "votes" }, h("b", {}, count(tallies[index] ?? 0))),
      ),
    );
  return h("ol", { class: `options shown ${tallies ? "tallied" : ""}`, css: { "--columns": columns } }, labels.map(row));
}

/** Counts along a scale as a row of thin bars, the ends of which are named; the own one and the right one are marked. */
export function histogram([from, to], tallies, { own, right } = {}) {
  const most = Math.max(1, ...tallies);
  const mark = (index) => [index === own && "own", index === right && "right"].filter(Boolean).join(" ") || null;
  const bar = (votes, index) =>
    h("li", { testid: `tally-${index}`, class: mark(index), "data-key": index, "data-value": votes, css: { "--share": (votes / most).toFixed(4) } }, votes > 0 && h("span", { class: "votes" }, count(votes)));
  return h("figure", {}, h("ol", { class: "histogram", "aria-label": "Answers along the scale" }, tallies.map(bar)), h("figcaption", { class: "muted histogram-ends" }, h("span", {}, from), h("span", {}, to)));
}

/** A form of one field; `stream` ones can be sent again and again. */
export function textForm(kind, { label, hint, testid = "text", value = "", frozen, stream, attrs = {}, send = "Send" }) {
  return h(
    "form",
    { class: "card give", "data-kind": kind, "data-key": `form-${kind}`, "data-stream": stream ? "true" : null },
    h("label", { class: "field" }, h("span", {}, label), h("input", { name: "given", testid, autocomplete: "off", maxlength: 200, disabled: frozen, value, ...attrs }), hint && h("span", { class: "muted hint" }, hint)),
    h("button", { class: "primary", testid: "submit", disabled: frozen }, send),
  );
}

/** Words, larger the more often they came. */
export function cloud(words) {
  const most = Math.max(1, ...words.map((word) => word.count));
  const word = ({ text, count: n }) =>
    h("li", { testid: `word-${text}`, "data-key": text, "data-value": n, css: { "--size": (0.5 + n / most).toFixed(3) } }, text, h("span", { class: "hidden" }, ` (${n})`));
  if (words.length === 0) return h("p", { class: "muted" }, "No words yet.");
  return h("ul", { class: "cloud", testid: "cloud" }, words.map(word));
}
