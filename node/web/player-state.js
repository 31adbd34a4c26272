// What the player's page knows. player.js changes it, player-view.js draws it.

import { Deadline, cleanPin, pageParameters } from "./common.js";
import { Revised } from "./engagement/revised.js";
import { Opening } from "./media.js";
import { Seen } from "./proof.js";

/** The PIN in the page's address, or "". */
export const asked = cleanPin(pageParameters().get("pin"));

/** When the open question closes, on this page's clock. */
export const deadline = new Deadline();

/** When this page has shown a question that is tied to a stream. */
export const opening = new Opening();

/** What was published of the current round before its secret was out. */
export const seen = new Seen();

/** Whether hosts have changed what is shown. */
export const revised = new Revised();

export const state = {
  /** How the link to the cluster is, in a word, and to which node. */
  link: "idle",
  node: null,
  /** What `joined` said; null until then. */
  session: null,
  form: { pin: asked, name: "", busy: false, early: false, error: null },
  /** The newest live state of the node in use, and its revision. */
  live: null,
  revision: -1,
  /** What is chosen on the page. */
  picked: { instance: 0, choices: [] },
  /** What was answered last: its choices and what the cluster said to them. */
  answer: null,
  /** What hosts have said of this player. */
  marks: { kicked: false, muted: false, extra_ms: 0 },
  /** What a form lacks before it can be sent, and in which round. */
  missing: null,
  /** What became of the newest of several inputs, and in which round. */
  input: null,
  /** Why the last choice of a team was not taken. */
  teamError: null,
  /** The player's ticket in raffles. */
  ticket: null,
  /** What the last reveal gave. */
  result: null,
};

/** True once the current question is answered, unless the answer may be given anew. */
export const isFrozen = () => state.answer?.instance === state.live.stage.instance && state.answer.status !== "retry";

/** The choices that the page shows as chosen. */
export const ownChoices = (instance) =>
  state.picked.instance === instance ? state.picked.choices : heldChoices(instance);

/** The choices that the cluster holds, or is about to. */
export const heldChoices = (instance) =>
  state.answer?.instance === instance && state.answer.status !== "refused" ? state.answer.choices : [];

/** What the player gave, as kinds of engagement look at it, how many points there are, and how many lives the round before has left. */
export const own = (instance) => ({
  picked: ownChoices(instance),
  held: heldChoices(instance),
  frozen: isFrozen(),
  text: state.answer?.instance === instance ? (state.answer.text ?? state.answer.given?.text) : undefined,
  number: state.answer?.instance === instance ? state.answer.given?.number : undefined,
  points: state.session?.points,
  lives: state.result?.instance === instance - 1 ? state.result.lives : undefined,
  instance,
});
