// What a host says of players and of the show: found, drawn and turned into commands here, sent by host.js.
//
// Facts need no stage. Pressed twice, or by two hosts at once, they are said once; an award bears an id that
// is made up here, so that sending it again gives nothing twice.

import { count, h } from "./common.js";

/** What of this is on the page and nowhere else: who was looked for, who is chosen. */
export const desk = { words: "", found: null, chosen: null };

const fact = (body, testid, label, attrs = {}) =>
  h("button", { type: "button", testid, "data-key": testid, "data-action": "fact", "data-body": JSON.stringify(body), ...attrs }, label);

const newId = () => [...crypto.getRandomValues(new Uint8Array(8))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

/** A small form whose submission says something; `fields` are its inputs. */
const form = (name, label, fields, data = {}) =>
  h("form", { class: "say", testid: `form-${name}`, "data-key": `form-${name}-${data["data-player"] ?? ""}`, "data-form": name, novalidate: true, ...data }, fields, h("button", { testid: `do-${name}` }, label));

const input = (name, placeholder, attrs = {}) => h("input", { name, testid: name, placeholder, "aria-label": placeholder, autocomplete: "off", ...attrs });

/** The command that a form's submission means; nothing while it is not filled in. */
export function wishOf(target) {
  const value = (name) => target.querySelector(`[name=${name}]`).value.trim();
  const { form: name, player } = target.dataset;
  const wishes = {
    rename: () => value("new_name") && { command: "rename", player, text: value("new_name") },
    award: () => Number(value("points")) && { command: "award", player, points: Math.trunc(Number(value("points"))), text: value("reason") || "award", id: newId() },
    grant: () => ({ command: "grant", player, ms: Math.max(0, Math.round(Number(value("extra")) * 1000)) }),
    invite: () => value("co_host") && { command: "invite", name: value("co_host") },
    own: () => value("owner") && { command: "own", text: value("owner") },
    takeover: () => value("owner") && { command: "takeover", text: value("owner") },
    announce: () => ({ command: "announce", text: value("announcement") }),
    set: () => value("value") && { command: "set", name: target.dataset.name, text: value("value") },
  };
  return wishes[name]?.() || null;
}

/** Players: a search, those of whom something was said, and what can be said of the chosen one. */
export function peopleCard({ desk: said, locked, stage }) {
  const listed = desk.found ?? said.marked;
  const chosen = listed.find((each) => each.player === desk.chosen) ?? said.marked.find((each) => each.player === desk.chosen);
  return h(
    "section",
    { class: "card people", "aria-label": "Players" },
    h("h2", {}, "Players"),
    form("find", "Find", [input("find", "Part of a name")]),
    listed.length === 0 && h("p", { class: "muted", testid: "nobody" }, desk.found === null ? "Find players to kick, mute, rename or award them." : "Nobody has that name."),
    h("ul", { testid: "people" }, listed.map(personRow)),
    chosen && personPart(chosen),
    chosen?.kicked && !locked && !["ended", "aborted"].includes(stage.phase) && lockPart(chosen),
  );
}

function personRow(person) {
  const { player, name } = person;
  const isChosen = player === desk.chosen;
  return h(
    "li",
    { testid: `person-${name}`, "data-key": player, "data-kicked": String(person.kicked), "data-muted": String(person.muted), "data-awarded": person.awarded },
    h("button", { type: "button", class: isChosen ? "current" : "quiet", testid: `choose-${name}`, "aria-pressed": String(isChosen), "data-action": "person", "data-player": player }, name),
    person.kicked && h("span", { class: "badge bad" }, "kicked"),
    person.muted && h("span", { class: "badge" }, "muted"),
    person.renamed && h("span", { class: "badge" }, "renamed"),
    person.extra_ms > 0 && h("span", { class: "badge" }, `+${person.extra_ms / 1000} s`),
    person.awarded !== 0 && h("span", { class: "badge" }, `${person.awarded > 0 ? "+" : ""}${count(person.awarded)} points`),
  );
}

function personPart({ player, name, kicked, muted }) {
  const whose = { "data-player": player };
  return h(
    "div",
    { class: "person", testid: "person", "data-key": `person-${player}` },
    h("h2", {}, name),
    h(
      "div",
      { class: "buttons" },
      kicked ? fact({ command: "unkick", player }, "unkick", "Let back in") : fact({ command: "kick", player }, "kick", "Kick", { class: "grave" }),
      muted ? fact({ command: "unmute", player }, "unmute", "Unmute") : fact({ command: "mute", player }, "mute", "Mute"),
    ),
    form("rename", "Rename", [input("new_name", "Another name", { maxlength: 40 })], whose),
    form("award", "Award", [input("points", "Points", { type: "number", step: 1 }), input("reason", "For what", { maxlength: 40 })], whose),
    form("grant", "Give time", [input("extra", "Seconds more than others", { type: "number", min: 0, max: 600 })], whose),
  );
}

/** In an open show nothing but a lock keeps out who comes with another id and another name. */
const lockPart = ({ name }) =>
  h("p", { class: "notice wait", testid: "offer-lock", "data-key": "offer-lock" }, `${name} is out, but could come in anew under another name. `, fact({ command: "lock" }, "lock-after-kick", "Lock joining"));

/** The show as a whole: announcement, switches, settings and who else may drive. */
export function showCard({ desk: said, controls = {} }, invited) {
  const isOn = (name) => controls[name] !== false;
  const permit = (name, label) => fact({ command: isOn(name) ? "deny" : "allow", name }, `permit-${name}`, `${label}: ${isOn(name) ? "on" : "off"}`, { "aria-pressed": String(isOn(name)) });
  const setting = (name, label) => {
    const next = said.settings[name] === "off" ? "on" : "off";
    return fact({ command: "set", name, text: next }, `set-${name}`, `${label}: ${next === "on" ? "off" : "on"}`, { "aria-pressed": String(next === "off") });
  };
  return h(
    "section",
    { class: "card desk", "aria-label": "Show" },
    h("h2", {}, "Show"),
    said.announcements.length > 1 && h("p", { class: "notice wait", testid: "conflict" }, `Two announcements stand: ${said.announcements.join(" | ")}. The next one replaces both.`),
    form("announce", said.announcements.length > 0 ? "Replace" : "Announce", [input("announcement", said.announcements[0] ?? "Tell everybody", { maxlength: 200 })]),
    h(
      "div",
      { class: "buttons" },
      controls.curtain ? fact({ command: "uncurtain" }, "uncurtain", "Open the curtain") : fact({ command: "curtain" }, "curtain", "Close the curtain"),
      permit("reactions", "Reactions"),
      permit("sound", "Sound"),
      setting("show_names", "Names on the board"),
      setting("name_filter", "Name filter"),
    ),
    form("set", "Limit players", [input("value", said.settings.players_max ? `At most ${said.settings.players_max}` : "How many may be in", { type: "number", min: 1 })], { "data-name": "players_max" }),
    h("h2", {}, "Host"),
    h("p", { class: said.owner ? "" : "muted", testid: "show-owner", "data-value": said.owner ?? "" }, said.owner ? `${said.owner} has this show.` : "Nobody has said whose show it is."),
    form(said.owner ? "takeover" : "own", said.owner ? "Take over" : "It is mine", [input("owner", "Your name", { maxlength: 40 })]),
    h("h2", {}, "Co-hosts"),
    h("ul", { testid: "co-hosts" }, said.co_hosts.map(({ id, name }) => h("li", { "data-key": id }, h("b", {}, name), fact({ command: "dismiss", name }, `dismiss-${name}`, "Dismiss", { class: "quiet" })))),
    form("invite", "Invite", [input("co_host", "Name of a co-host", { maxlength: 40 })]),
    invited && h("p", { class: "notice good", testid: "invited" }, `For ${invited.name} alone: `, h("a", { href: invited.url, testid: "invitation" }, invited.url)),
  );
}
