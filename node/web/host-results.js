// The results as files, once a show is over: for hosts who have no shell.

import { h } from "./common.js";
import { requestFile } from "./nodes.js";

const FILES = [
  ["event.xlsx", "Workbook"],
  ["answers.csv", "Answers (CSV)"],
  ["players.csv", "Players (CSV)"],
  ["questions.csv", "Questions (CSV)"],
  ["posts.csv", "Posts (CSV)"],
  ["votes.csv", "Votes (CSV)"],
  ["log.csv", "Audit trail (CSV)"],
  ["event.jsonl", "JSON lines"],
];

/** The files that can be had. */
export function resultsCard({ stage }) {
  if (!["ended", "aborted"].includes(stage.phase)) return null;
  const button = ([file, label]) => h("button", { type: "button", testid: `get-${file}`, "data-key": file, "data-action": "results", "data-file": file }, label);
  return h("section", { class: "card results", "aria-label": "Results", testid: "results", "data-key": "results" }, h("h2", {}, "Take the results with you"), h("div", { class: "buttons" }, FILES.map(button)));
}

/**
 * Fetches a file from a node and has the browser keep it. Text tables bear a byte order mark: who saves them here opens
 * them in a spreadsheet, which without it takes UTF-8 for something else. @throws Refusal
 */
export async function keepFile(base, { event, token }, file) {
  const blob = await requestFile(base, `/api/v1/events/${encodeURIComponent(event)}/export?file=${file}&bom=true`, token);
  const url = URL.createObjectURL(blob);
  const link = h("a", { href: url, download: `${event}-${file}` });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 60000);
}
