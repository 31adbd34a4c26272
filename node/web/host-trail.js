// The audit trail on the host's page: who did what, on which node, and where the show stood after it.
//
// It is fetched when it is looked at, and again after every step and command while it is open.

import { h } from "./common.js";
import { phaseWord } from "./frame.js";

/** What is known of it here, and whether somebody looks. */
export const trail = { lines: null, open: false, error: null };

/** Lines that are drawn, the newest first; the rest is in `starling event log`. */
const SHOWN = 200;

const clock = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });

function lineView({ lamport, origin, wall_ms, node, by, act, of, stage, also }) {
  const isOfRound = stage.instance > 0 && !["ended", "aborted"].includes(stage.phase);
  const where = isOfRound ? `${stage.instance} · ${phaseWord(stage.phase)}` : phaseWord(stage.phase);
  return h(
    "li",
    { testid: "trail-line", "data-key": `${lamport}-${origin}-${act}`, "data-act": act, "data-by": by },
    h("time", { class: "muted" }, clock.format(wall_ms)),
    h("b", {}, by),
    h("span", {}, `${act} ${of}`.trim()),
    h("span", { class: "muted" }, `${where} · ${[node, ...(also ?? [])].join(", ")}`),
  );
}

/** The trail, folded away until it is asked for. */
export function trailCard() {
  const { lines, error, open } = trail;
  const newest = [...(lines ?? [])].reverse().slice(0, SHOWN);
  return h(
    "details",
    { class: "card trail", testid: "trail", "data-key": "trail", "data-open": String(open) },
    h("summary", { "data-action": "trail", testid: "show-trail" }, "Who did what"),
    error && h("p", { class: "notice bad", testid: "trail-error" }, error),
    open && lines === null && !error && h("p", { class: "muted" }, "Looking …"),
    h("ol", { testid: "trail-lines" }, newest.map(lineView)),
    lines !== null && lines.length > SHOWN && h("p", { class: "muted" }, `${lines.length - SHOWN} earlier ones are in the log.`),
  );
}
