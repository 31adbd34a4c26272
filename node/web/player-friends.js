// A player's friends: a list of names that this browser keeps for a show, and where they stand.
//
// The nodes know nothing of friendships: the page names those it is curious about, and is told their places.

import { count, h, recall, remember } from "./common.js";
import { requestJson } from "./nodes.js";

const KEY = "starling.friends";
/** More names than a phone shows. */
const FRIENDS_MAX = 30;

const friends = { pin: null, names: [], view: null, error: null, of: null };

function load(pin) {
  if (friends.pin === pin) return;
  Object.assign(friends, { pin, names: recall(localStorage, `${KEY}.${pin}`) ?? [], view: null, error: null, of: null });
}

/** Adds a name. */
export function befriend(session, name) {
  load(session.pin);
  const isNew = name !== "" && !friends.names.includes(name) && friends.names.length < FRIENDS_MAX;
  if (isNew) keep([...friends.names, name]);
}

/** Takes a name off the list. */
export function unfriend(session, name) {
  load(session.pin);
  keep(friends.names.filter((each) => each !== name));
}

function keep(names) {
  Object.assign(friends, { names, of: null });
  remember(localStorage, `${KEY}.${friends.pin}`, names);
}

/** Asks where they stand, once for every board and whenever the list changes. */
export async function lookForFriends(session, base, live, redraw) {
  load(session.pin);
  if (!["board", "ended"].includes(live.stage.phase) || friends.names.length === 0) return;
  const of = `${live.stage.instance}/${live.stage.phase}/${live.result?.board_revision}/${live.result?.status}`;
  if (friends.of === of) return;
  friends.of = of;
  const body = { names: [session.name, ...friends.names] };
  const asked = requestJson(base, `/api/v1/events/${session.event}/board`, { token: session.token, body });
  const told = await asked.catch((refusal) => ({ refusal }));
  Object.assign(friends, told.refusal ? { error: told.refusal.message } : { view: told, error: null });
  redraw();
}

/** How complete the board is, unless it is final. */
function coverageLine(coverage) {
  if (!coverage || coverage.status === "final") return null;
  const without = coverage.missing?.length > 0 ? `, without ${coverage.missing.join(", ")}` : "";
  return h("p", { class: "muted", testid: "friends-coverage", "data-status": coverage.status }, `This board is ${coverage.status}${without}.`);
}

/** The board of friends, and the way to name one. */
export function friendsPart(session) {
  load(session.pin);
  const { view, names, error } = friends;
  const row = (line) =>
    h(
      "li",
      { class: line.name === session.name ? "row own" : "row", testid: "friend", "data-key": line.name, "data-rank": line.rank, "data-place": line.place },
      h("span", { class: "rank" }, String(line.rank)),
      h("span", { class: "name" }, line.name, h("span", { class: "muted" }, ` #${count(line.place)} of all`)),
      h("span", { class: "points", "data-value": line.points }, count(line.points)),
    );
  const missing = (name) => view?.unknown.includes(name);
  const chip = (name) => h("button", { type: "button", class: "quiet", testid: `unfriend-${name}`, "data-key": name, "data-action": "unfriend", "data-name": name, "aria-label": `Take ${name} off the list` }, missing(name) ? `${name} (not here) ✕` : `${name} ✕`);
  return h(
    "section",
    { class: "friends", testid: "friends", "data-key": "friends" },
    h("h2", {}, "Friends"),
    names.length > 0 && view && h("ol", { class: "board" }, view.lines.map(row)),
    names.length > 0 && coverageLine(view?.coverage),
    error && h("p", { class: "notice bad", testid: "friends-error" }, error),
    names.length > 0 && h("div", { class: "buttons" }, names.map(chip)),
    h("form", { class: "say", "data-form": "friend", "data-key": "befriend" }, h("input", { name: "friend", testid: "friend-name", maxlength: 40, autocomplete: "off", placeholder: "A friend's name", "aria-label": "A friend's name" }), h("button", { testid: "befriend" }, "Add")),
  );
}
