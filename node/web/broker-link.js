// A player's link to the cluster through an MQTT broker: the broker carries the connection, nodes decide.
//
// Two things differ from a link to a node. The broker's PUBACK proves nothing: what counts is published again
// until the inbox tells what became of it, which the nodes take as the same. And the inbox has a name that only
// the cluster can tell: a new player asks for it under a random name and comes back under the inbox's own, which
// is what a broker's access rules go by. `online` is said only after the inbox has spoken.

import { parseJson, pause } from "./common.js";
import { Link, slotOf } from "./link.js";
import { Connection } from "./mqtt.js";

/** Between two repetitions, at most; each is drawn from the upper half, so that a crowd does not speak in chorus. */
const REPEAT_MS = 2000;
/** How long what is said only once waits for its verdict. */
const VERDICT_MS = 6000;
/** How long whoever was refused looks up at least once: what it waits for is the page's word or the connection's end. */
const REFUSED_MS = 60000;
/** How often a result is asked for that did not come. */
const RESULT_TRIES = 2;
/** In this order a run goes through them, and never back. */
const PHASES = ["draft", "lobby", "intro", "open", "closed", "tallies", "reveal", "board", "ended", "aborted"];

const jittered = () => REPEAT_MS * (0.5 + Math.random() / 2);
const randomId = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
const brokerAt = (url) => ({ name: new URL(url).host, http: "", ws: url });
const isBefore = (a, b) => a.instance < b.instance || (a.instance === b.instance && PHASES.indexOf(a.phase) < PHASES.indexOf(b.phase));

/** One browser has one connection to an inbox: the tab that was opened last. */
const tabs = "BroadcastChannel" in globalThis ? new BroadcastChannel("starling-inbox") : null;

/** Connects, joins or resumes, and keeps doing so until stopped. */
export class BrokerLink extends Link {
  /** As a `Link`; `broker` are the broker's addresses, `inbox` the topic of the player's inbox if it is known. */
  constructor({ broker, inbox, ...rest }) {
    super(rest);
    Object.assign(this, { urls: broker, inbox: inbox ?? null, isIn: false, isRefused: false, verdicts: new Set() });
    Object.assign(this, { stage: { instance: 0, phase: "draft" }, revision: 0, resultOf: 0, stirring: new AbortController() });
    this.at = Math.floor(Math.random() * broker.length);
    this.node = brokerAt(broker[this.at]);
    this.onOther = ({ data }) => data === this.inbox && this.isIn && this.leaveToOther();
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

  leaveToOther() {
    this.stop();
    this.on.state("elsewhere", null);
  }

  turn() {
    this.at = (this.at + 1) % this.urls.length;
    this.node = brokerAt(this.urls[this.at]);
  }

  /**
   * Publishes an answer, and again until the inbox has its firm receipt or its refusal.
   * @throws Lost when there is no connection or it breaks on the way.
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
    const verdict = { instance: message.instance, mustBeFirm: isRepeated };
    verdict.told = new Promise((tell) => (verdict.tell = tell));
    this.verdicts.add(verdict);
    try {
      for (;;) {
        const ack = await connection.publish(this.topic("answer"), message);
        if (ack.reason >= 0x80) return ack;
        const told = await Promise.race([verdict.told, connection.lost, pause(isRepeated ? jittered() : VERDICT_MS)]);
        if (told || !isRepeated) return told ?? null;
      }
    } finally {
      this.verdicts.delete(verdict);
    }
  }

  /** Tells whoever waits longest for it what the inbox says of an answer. */
  judge(message) {
    const isRefusal = message.type === "refused" && message.topic.startsWith("answer/");
    const isMeant = ({ instance, mustBeFirm }) =>
      isRefusal || (message.type === "receipt" && message.instance === instance && (!mustBeFirm || message.level === "firm"));
    const meant = [...this.verdicts].find(isMeant);
    if (meant === undefined) return;
    this.verdicts.delete(meant);
    meant.tell({ reason: isRefusal ? 0x83 : 0, receipt: message });
  }

  /** One connection from its opening to its end; before the first one, another that asks for the inbox. */
  async once() {
    this.on.renewed();
    if (this.inbox === null) await this.visit(randomId(), async () => {});
    if (this.stopped || this.inbox === null) return;
    tabs?.postMessage(this.inbox);
    await this.visit(this.inbox.slice("inbox/".length), (connection) => connection.closed);
  }

  /** Comes under a name, asks until there is an answer, and stays for as long as `stay` does. */
  async visit(clientId, stay) {
    const isAttending = this.inbox !== null;
    const url = this.node.ws;
    const onMessage = (topic, text) => this.deliver(topic, parseJson(text), isAttending);
    const connection = new Connection({ url, clientId, onMessage });
    this.connection = connection;
    try {
      await connection.opened;
      const own = isAttending ? [this.inbox] : [];
      await connection.subscribe(`reply/${clientId}`, ...own, `live/${this.pin}`);
      await this.ask(connection, `reply/${clientId}`, () => (isAttending ? this.isIn : this.inbox !== null));
      await stay(connection);
    } finally {
      this.isIn = false;
      connection.close("left");
    }
  }

  /** Asks until there is an answer; after a refusal, once more whenever the page says so. */
  async ask(connection, reply, isTold) {
    while (!isTold()) {
      Object.assign(this, { isRefused: false, stirring: new AbortController() });
      const ack = await connection.publish(this.topic("connect"), { ...this.request(), reply });
      if (ack.reason >= 0x80) return this.on.answered(ack);
      if (!isTold()) await this.rest(connection, jittered());
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
