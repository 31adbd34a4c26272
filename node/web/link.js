// A player's link to the cluster: always one connection to some node, to another one when it is lost.
//
// Invariant: `online` is said only after the node has taken the player in, and after every loss the
// same content is published again, which the nodes take as the same answer. Waiting between attempts
// has full jitter, and the first other node is drawn at random: when a node dies, its players spread.

import { backoffMs, parseJson, pause } from "./common.js";
import { Connection } from "./mqtt.js";

/** The slot that a player's topics carry: FNV-1a of the id's text, folded to a byte. */
export function slotOf(player) {
  let hash = 2166136261;
  for (const digit of player) hash = Math.imul(hash ^ digit.charCodeAt(0), 16777619);
  return (((hash >>> 8) ^ hash) & 255).toString(16).padStart(2, "0");
}

const newClientId = (player) => `web-${player.slice(0, 8)}-${Math.random().toString(36).slice(2, 10)}`;

const ownNode = () => ({
  name: location.host,
  http: location.origin,
  ws: `${location.protocol === "https:" ? "wss:" : "ws:"}//${location.host}/mqtt`,
});

/** Connects, joins or resumes, and keeps doing so until stopped. */
export class Link {
  /**
   * `request()` gives what to publish to `connect/<slot>`, `password()` what to connect with, if
   * anything; `on` has state(word, node),
   * message(topic, object), answered(ack) for the PUBACK of a connect, and renewed() when a new
   * connection begins, whose live states have revisions of their own.
   */
  constructor({ pin, player, nodes, request, password, on }) {
    Object.assign(this, { pin, player, request, password, on, attempt: 0, stopped: false, connection: null });
    this.clientId = newClientId(player);
    this.node = ownNode();
    this.nodes = [this.node];
    this.learn(nodes);
    this.wake = new AbortController();
  }

  /** Takes the list of the event's nodes. */
  learn(nodes) {
    if (!nodes?.length) return;
    this.nodes = nodes;
    const own = nodes.find((node) => node.http === this.node.http || node.ws === this.node.ws);
    if (own) this.node = { ...own, ws: this.node.ws };
  }

  /** The node has taken the player in: from here on a loss starts with the shortest wait. */
  settle() {
    this.attempt = 0;
    this.on.state("online", this.node);
  }

  /** Publishes an answer. @throws Lost when there is no connection or it breaks on the way. */
  publish(message) {
    return this.publishTo("answer", message);
  }

  /** Publishes what would count twice if it was repeated. @throws Lost as `publish` does. */
  publishOnce(message) {
    return this.publish(message);
  }

  /** Publishes a reaction. @throws Lost as `publish` does. */
  react(message) {
    return this.publishTo("react", message);
  }

  publishTo(topic, message) {
    if (this.connection === null) return Promise.reject(new Error("not connected"));
    return this.connection.publish(`${topic}/${slotOf(this.player)}`, message);
  }

  /** Asks to be let in once more, over the same connection. */
  async askAgain() {
    const { connection } = this;
    const ack = await connection?.publish(`connect/${slotOf(this.player)}`, this.request()).catch(() => null);
    if (ack && this.connection === connection) this.on.answered(ack);
  }

  /** Leaves this node for another one. */
  leaveNode(why) {
    this.connection?.close(why);
  }

  /** Ends the link for good. */
  stop() {
    this.stopped = true;
    this.wake.abort();
    this.connection?.close("left");
  }

  /** The device came back: try at once, and do not trust a connection that may be long dead. */
  hurry() {
    this.wake.abort();
    this.connection?.probe();
  }

  /** Runs until stopped. */
  async start() {
    while (!this.stopped) {
      this.on.state(this.attempt === 0 ? "connecting" : "reconnecting", this.node);
      await this.once().catch(() => {});
      this.connection = null;
      if (this.stopped) return;
      this.turn();
      this.on.state("reconnecting", this.node);
      this.wake = new AbortController();
      await pause(backoffMs(this.attempt++), this.wake.signal);
    }
  }

  /** One connection from its opening to its end. */
  async once() {
    this.on.renewed();
    const connection = new Connection({
      url: this.node.ws,
      clientId: this.clientId,
      password: this.password(),
      onMessage: (topic, text) => this.deliver(topic, text),
    });
    this.connection = connection;
    try {
      await connection.opened;
      await connection.subscribe(`inbox/${this.player}`, `live/${this.pin}`);
      this.on.answered(await connection.publish(`connect/${slotOf(this.player)}`, this.request()));
      await connection.closed;
    } finally {
      connection.close("left");
    }
  }

  deliver(topic, text) {
    if (!this.stopped) this.on.message(topic, parseJson(text));
  }

  turn() {
    const others = this.nodes.filter((node) => node.http !== this.node.http);
    if (others.length === 0) return;
    const at = this.nodes.findIndex((node) => node.http === this.node.http);
    const isFirst = this.attempt === 0;
    this.node = isFirst ? others[Math.floor(Math.random() * others.length)] : this.nodes[(at + 1) % this.nodes.length];
  }
}
