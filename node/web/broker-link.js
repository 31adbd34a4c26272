// A player's link to the cluster through an MQTT broker: the broker carries the connection, nodes decide.
//
// Two things differ from a link to a node. The broker's PUBACK proves nothing: what counts is published again
// until the inbox tells what became of it, which the nodes take as the same. Its refusal is none of the cluster's
// either: it is short of room, say, and what was refused is published again later. And the inbox has a name that only
// the cluster can tell: a new player asks for it under a random name and comes back under the inbox's own, which
// is what a broker's access rules go by. `online` is said only after the inbox has spoken.
//
// Nor does a node see who is connected: the page says that it is there, and leaves a will at the broker which says
// that it has gone. Both name the connection, for the will of an older one to take nobody away.

import { parseJson, pause } from "./common.js";
import { Link, slotOf } from "./link.js";
import { CLOSED, Connection, Lost } from "./mqtt.js";

/** Between two repetitions, at most; each is drawn from the upper half, so that a crowd does not speak in chorus. */
const REPEAT_MS = 2000;
/** So often the pause doubles, while the broker takes nothing or no second node has what one has taken. */
const DOUBLINGS_MAX = 3;
/** So often is asked whether what one node has taken is firm by now: where no other node lives it never is. */
const FIRM_TRIES = 4;
/** So often a broker that refuses is asked to let the player in before another one is. */
const REFUSED_TRIES = 5;
/** MQTT's reason where another connection has come under the same name. */
const TAKEN_OVER = 0x8e;
/**
 * Some brokers end a connection whose name another one has taken without a word (Mosquitto 2.0.11 over WebSockets). Where
 * so many in a row end like that within so long, and the broker takes each next one at its first try, it is no broker
 * that fails: another device of the player's has the inbox. The two end each other in turn, so who was there first has
 * counted first, and leaves it; that holds only if those that the nodes had not yet let in count too.
 */
const TAKEN_TIMES = 3;
const TAKEN_MS = 30000;
/** How long what is said only once waits for its verdict. */
const VERDICT_MS = 6000;
/** How long whoever was refused looks up at least once: what it waits for is the page's word or the connection's end. */
const REFUSED_MS = 60000;
/** How often a result is asked for that did not come. */
const RESULT_TRIES = 2;
/** For so long a player counts as there after each word; one who has nothing to say renews it after half of that. */
const WORD_MS = 600000;
/** In this order a run goes through them, and never back. */
const PHASES = ["draft", "lobby", "intro", "open", "closed", "tallies", "reveal", "board", "ended", "aborted"];

/** The pause after so many that were to be longer than the one before. */
const jittered = (doublings = 0) => REPEAT_MS * 2 ** Math.min(doublings, DOUBLINGS_MAX) * (0.5 + Math.random() / 2);
const isRefusal = (ack) => ack.reason >= 0x80;
/** An answer takes the place of the one before it, and a choice of team that of another. */
const isSameKind = (a, b) => a.instance > 0 === b.instance > 0;
const randomId = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
const brokerAt = (url) => ({ name: new URL(url).host, http: "", ws: url });
const isBefore = (a, b) => a.instance < b.instance || (a.instance === b.instance && PHASES.indexOf(a.phase) < PHASES.indexOf(b.phase));

/**
 * An inbox has one connection: that of the tab or device which came last. Others that came back for it would take it
 * from each other for ever. Tabs tell each other when they came: what the broker does to their connections may be
 * known before.
 */
const tabs = "BroadcastChannel" in globalThis ? new BroadcastChannel("starling-inbox") : null;

/** Connects, joins or resumes, and keeps doing so until stopped. */
export class BrokerLink extends Link {
  /** As a `Link`; `broker` are the broker's addresses, `inbox` the topic of the player's inbox if it is known. */
  constructor({ broker, inbox, ...rest }) {
    super(rest);
    Object.assign(this, { urls: broker, inbox: inbox ?? null, isIn: false, isRefused: false, verdicts: new Set() });
    Object.assign(this, { stage: { instance: 0, phase: "draft" }, revision: 0, resultOf: 0, stirring: new AbortController(), taken: [] });
    this.at = Math.floor(Math.random() * broker.length);
    this.node = brokerAt(broker[this.at]);
    this.came = { at: Date.now(), id: randomId() };
    this.onOther = ({ data }) => data.inbox === this.inbox && this.meet(data.came);
    tabs?.addEventListener("message", this.onOther);
  }

  /** Where the nodes are is of no use here. */
  learn() {}

  settle() {
    if (this.isIn) super.settle();
  }

  stop() {
    tabs?.removeEventListener("message", this.onOther);
    super.stop();
  }

  /** Another tab says when it came to this inbox. */
  meet({ at, id }) {
    const isNewer = at === this.came.at ? id > this.came.id : at > this.came.at;
    if (isNewer) this.leaveToOther();
    else this.sayCame();
  }

  sayCame() {
    tabs?.postMessage({ inbox: this.inbox, came: this.came });
  }

  leaveToOther() {
    this.stop();
    this.on.state("elsewhere", null);
  }

  turn() {
    this.at = (this.at + 1) % this.urls.length;
    this.node = brokerAt(this.urls[this.at]);
  }

  /**
   * Publishes an answer, and again until the inbox has its firm receipt or its refusal; a provisional receipt is what
   * there is once the question is over, or has been asked about often enough.
   * @throws Lost when there is no connection or it breaks on the way; an Error when a newer one takes its place or the
   * next question comes.
   */
  publish(message) {
    return this.untilTold(message, { isRepeated: true });
  }

  /** Publishes what would count twice, once; null where the inbox says nothing of it. @throws Lost as `publish` does. */
  publishOnce(message) {
    return this.untilTold(message, { isRepeated: false });
  }

  /** Publishes a reaction, without knowing what becomes of it: one that is repeated would count again. */
  async react(message) {
    await this.connection?.tell(this.topic("react"), message);
    return null;
  }

  topic(word) {
    return `${word}/${slotOf(this.player)}`;
  }

  async untilTold(message, { isRepeated }) {
    const { connection } = this;
    if (connection === null || !this.isIn) throw new Error("not connected");
    const verdict = { instance: message.instance, mustBeFirm: isRepeated, provisional: null };
    verdict.told = new Promise((tell, replace) => Object.assign(verdict, { tell, replace }));
    verdict.told.catch(() => {});
    if (isRepeated) this.replaceBy(verdict);
    this.verdicts.add(verdict);
    try {
      const publish = () => connection.publish(this.topic("answer"), message);
      return await (isRepeated ? this.repeat(connection, verdict, publish) : this.sayOnce(connection, verdict, publish));
    } finally {
      this.verdicts.delete(verdict);
    }
  }

  async sayOnce(connection, { told }, publish) {
    const ack = await publish();
    if (isRefusal(ack)) return ack;
    return (await Promise.race([told, connection.lost, pause(VERDICT_MS)])) ?? null;
  }

  async repeat(connection, verdict, publish) {
    let [refused, unfirm] = [0, 0];
    for (;;) {
      refused = isRefusal(await publish()) ? refused + 1 : 0;
      if (verdict.provisional) unfirm += 1;
      const told = await Promise.race([verdict.told, connection.lost, pause(jittered(refused + unfirm))]);
      if (told) return told;
      if (verdict.provisional && (unfirm >= FIRM_TRIES || this.isPast(verdict, "open"))) {
        return { reason: 0, receipt: verdict.provisional };
      }
      if (this.isPast(verdict, "aborted")) throw new Error("the question is over");
    }
  }

  /** Whether the show is beyond a phase of the question that a verdict is about; the choice of a team has none. */
  isPast({ instance }, phase) {
    return instance > 0 && isBefore({ instance, phase }, this.stage);
  }

  /** One answer is under way at a time, and one choice of a team: the newest. */
  replaceBy(verdict) {
    const older = [...this.verdicts].filter((other) => other.mustBeFirm && isSameKind(other, verdict));
    for (const other of older) {
      this.verdicts.delete(other);
      other.replace(new Error("a newer one took its place"));
    }
  }

  /** Tells whoever waits longest for it what the inbox says of an answer. */
  judge(message) {
    const isRefused = message.type === "refused" && message.topic.startsWith("answer/");
    const isOf = ({ instance }) => message.type === "receipt" && message.instance === instance;
    const isMeant = (verdict) => isRefused || (isOf(verdict) && (!verdict.mustBeFirm || message.level === "firm"));
    const meant = [...this.verdicts].find(isMeant);
    if (meant === undefined) {
      for (const verdict of [...this.verdicts].filter(isOf)) verdict.provisional = message;
      return;
    }
    this.verdicts.delete(meant);
    meant.tell({ reason: isRefused ? 0x83 : 0, receipt: message });
  }

  /** One connection from its opening to its end; before the first one, another that asks for the inbox. */
  async once() {
    this.on.renewed();
    if (this.inbox === null) await this.visit(randomId(), async () => {});
    if (this.stopped || this.inbox === null) return;
    this.sayCame();
    await this.visit(this.inbox.slice("inbox/".length), (connection) => connection.closed);
  }

  /** Comes under a name, asks until there is an answer, and stays for as long as `stay` does. */
  async visit(clientId, stay) {
    const isAttending = this.inbox !== null;
    const url = this.node.ws;
    const onMessage = (topic, text) => this.deliver(topic, parseJson(text), isAttending);
    const here = isAttending ? randomId() : null;
    const connection = new Connection({ url, clientId, will: this.will(here), onMessage });
    this.connection = connection;
    let isOpen = false;
    const renewing = here && setInterval(() => this.sayHere(connection, here), WORD_MS / 2);
    try {
      await connection.opened;
      isOpen = true;
      const own = isAttending ? [this.inbox] : [];
      await connection.subscribe(`reply/${clientId}`, ...own, `live/${this.pin}`);
      await this.ask(connection, { reply: `reply/${clientId}`, here }, () => (isAttending ? this.isIn : this.inbox !== null));
      await stay(connection);
    } finally {
      const wasIn = this.isIn;
      this.isIn = false;
      clearInterval(renewing);
      connection.close("left");
      const isClosed = isOpen && (await connection.closed) === CLOSED;
      const isTaken = isAttending && (connection.reason === TAKEN_OVER || this.isTakenAgain({ isClosed, wasIn }));
      if (isTaken && !this.stopped) this.leaveToOther();
    }
  }

  /** What the broker says once a connection of that name is over, if who comes has been let in before. */
  will(here) {
    const { token } = this.request();
    return here && token ? { topic: this.topic("connect"), message: { token, gone: here } } : null;
  }

  sayHere(connection, here) {
    connection.publish(this.topic("connect"), { ...this.request(), here }).catch(() => {});
  }

  /**
   * Whether a connection that ended now is one too many: `isClosed` says of one that the broker had taken that it
   * closed it, `wasIn` that the nodes had let it in.
   */
  isTakenAgain({ isClosed, wasIn }, now = performance.now()) {
    const before = this.taken.filter((at) => now - at < TAKEN_MS);
    const counts = isClosed && (wasIn || before.length > 0);
    this.taken = counts ? [...before, now] : [];
    return this.taken.length >= TAKEN_TIMES;
  }

  /**
   * Asks until there is an answer; after a refusal, once more whenever the page says so.
   * @throws Lost, also where the broker takes nothing: another one may.
   */
  async ask(connection, said, isTold) {
    let refused = 0;
    while (!isTold()) {
      Object.assign(this, { isRefused: false, stirring: new AbortController() });
      const ack = await connection.publish(this.topic("connect"), { ...this.request(), ...said });
      refused = isRefusal(ack) ? refused + 1 : 0;
      if (refused >= REFUSED_TRIES) throw new Lost("the broker takes nothing");
      if (!isTold()) await this.rest(connection, jittered(refused));
      while (this.isRefused && !isTold()) {
        this.stirring = new AbortController();
        await this.rest(connection, REFUSED_MS);
      }
    }
  }

  /** A pause that ends when something was said. @throws Lost */
  rest(connection, ms) {
    return Promise.race([pause(ms, this.stirring.signal), connection.lost]);
  }

  /** Asks to be let in once more, over the same connection. */
  askAgain() {
    this.isRefused = false;
    this.stirring.abort();
  }

  deliver(topic, message, isAttending) {
    if (this.stopped || message === null) return;
    if (topic.startsWith("live/")) return this.deliverLive(topic, message);
    if (message.type === "joined" && message.pin === this.pin) {
      if (isAttending && topic !== this.inbox) return; // only the inbox proves that the inbox is heard
      if (isAttending) this.isIn = true;
      else this.inbox = message.inbox ?? null;
      this.stirring.abort();
    }
    if (message.type === "refused" && message.topic.startsWith("connect/")) {
      this.isRefused = true;
      this.stirring.abort();
    }
    if (message.type === "result") this.resultOf = message.instance;
    this.on.message(topic, message);
    this.judge(message);
  }

  /**
   * A node counts revisions for itself, and any may speak for the show after another: here the newest is the one that
   * came last, unless it is of an earlier stage.
   */
  deliverLive(topic, view) {
    if (isBefore(view.stage, this.stage)) return;
    const isNew = isBefore(this.stage, view.stage);
    this.stage = view.stage;
    this.revision += 1;
    this.on.message(topic, { ...view, revision: this.revision });
    if (isNew && view.stage.phase === "reveal") this.expectResult(view.stage.instance);
  }

  /** Asks for a result that does not come: who was to send it may have died. */
  async expectResult(instance) {
    for (let tries = 0; tries < RESULT_TRIES; tries += 1) {
      await pause(2 * jittered());
      if (this.stopped || this.resultOf >= instance || this.stage.instance !== instance) return;
      await this.connection?.publish(this.topic("connect"), this.request()).catch(() => {});
    }
  }
}
