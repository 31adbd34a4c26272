// One MQTT 5 connection over one WebSocket, as promises. The packets are u8-mqtt's work; how long to
// wait, when a connection counts as lost and where to go next is decided here and in link.js.
//
// A connection is used once: after it is lost a new one is opened, so nothing of the old one (packet
// ids, half a packet, a waiting promise) can reach into the new.

import { parseJson } from "./common.js";
import { MQTTClient } from "./vendor/u8-mqtt-0.6.7-v5.min.js";

const OPEN_TIMEOUT_MS = 4000;
const ACK_TIMEOUT_MS = 3000;
const KEEP_ALIVE_S = 60;
const PING_AFTER_MS = 10000;
const PONG_WITHIN_MS = 4000;

/** Why a connection ended whose other side closed it without a word. */
export const CLOSED = "the connection was closed";

/** The connection is gone, or never came to be. */
export class Lost extends Error {}

/** One connection. `opened` resolves when CONNACK came; `closed` resolves, with a reason, at its end. */
export class Connection {
  /** `will`, of a topic and a message, is what the other side says for this one if the connection breaks. */
  constructor({ url, clientId, password, will, onMessage }) {
    this.reason = 0; // that of the DISCONNECT which ended it, if one did
    this.heardAt = performance.now();
    this.closed = new Promise((end) => (this.end = end));
    this.lost = this.closed.then((why) => {
      throw new Lost(why);
    });
    this.lost.catch(() => {});
    this.socket = new WebSocket(url, ["mqtt"]);
    this.client = newClient(this, onMessage);
    this.opened = this.open(clientId, password, will);
  }

  /**
   * Subscribes with QoS 1, to inboxes with no local: what an acknowledgement has said is not said again there. The
   * library calls that option `retain`. @throws Lost
   */
  async subscribe(...topics) {
    const wish = (topic) => (topic.startsWith("inbox/") ? [topic, { qos: 1, retain: true }] : topic);
    await this.answered(this.client.subscribe({ topics: topics.map(wish), qos: 1 }), ACK_TIMEOUT_MS);
  }

  /**
   * Publishes JSON with QoS 1 and waits for its PUBACK: `reason` is the MQTT 5 reason code,
   * `receipt` what the node says in the user property of that name, or null. @throws Lost
   */
  async publish(topic, message) {
    const payload = JSON.stringify(message);
    const ack = await this.answered(this.client.publish({ topic, payload, qos: 1 }), ACK_TIMEOUT_MS);
    const receipt = ack.props?.user_properties?.receipt;
    return { reason: Number(ack.reason ?? 0), receipt: parseJson(receipt) };
  }

  /** Publishes JSON with QoS 0, which nothing is heard of. */
  async tell(topic, message) {
    await this.client.publish({ topic, payload: JSON.stringify(message), qos: 0 });
  }

  /** Ends it; `closed` resolves with `why`. */
  close(why) {
    clearInterval(this.pinger);
    this.end(why);
    this.socket.close();
  }

  /** Asks for a sign of life now, after a phone woke up, instead of at the next turn. */
  probe() {
    const askedAt = performance.now();
    this.client.ping().catch(() => {});
    setTimeout(() => this.heardAt < askedAt && this.close("the node went silent"), PONG_WITHIN_MS);
  }

  async open(clientId, password, will) {
    const { socket } = this;
    socket.binaryType = "arraybuffer";
    socket.addEventListener("close", () => this.close(CLOSED));
    socket.addEventListener("message", () => (this.heardAt = performance.now()));
    await this.answered(new Promise((ready) => socket.addEventListener("open", ready)), OPEN_TIMEOUT_MS, false);
    this.client.with_websock(socket);
    const proof = password ? { username: "player", password } : {}; // a name goes with every password
    const connect = { client_id: clientId, keep_alive: KEEP_ALIVE_S, flags: { clean_start: true }, ...proof };
    if (will) connect.will = { topic: will.topic, payload: JSON.stringify(will.message), qos: 1 };
    await this.answered(this.client.connect(connect), OPEN_TIMEOUT_MS, false);
    this.pinger = setInterval(() => this.watch(), PONG_WITHIN_MS);
  }

  watch() {
    if (performance.now() - this.heardAt > PING_AFTER_MS) this.probe();
  }

  /** Waits for a node's answer, which is [packet, error] when u8-mqtt gives it. */
  async answered(answer, timeoutMs, isPair = true) {
    let timer;
    const late = new Promise((_, fail) => {
      timer = setTimeout(() => fail(new Lost("the node did not answer in time")), timeoutMs);
    });
    try {
      const pair = await Promise.race([answer, this.lost, late]);
      if (isPair && !pair[0]) throw new Lost("the node did not answer in time");
      return isPair ? pair[0] : null;
    } catch (error) {
      this.close(error.message);
      throw error instanceof Lost ? error : new Lost(error.message);
    } finally {
      clearTimeout(timer);
    }
  }
}

function newClient(connection, onMessage) {
  const quiet = () => {};
  return new MQTTClient({
    keep_alive: 0, // pings are ours, because ours are checked
    rotate: { td: ACK_TIMEOUT_MS, n: 5 },
    log_conn: quiet,
    on_live: quiet,
    on_sub: (suback) => suback, // the router would keep every one; ours is the only topic handler
    on_disconnect: () => connection.close(CLOSED),
    on_error: (error) => connection.close(error.message),
    on_mqtt_type: {
      mqtt_publish(packet) {
        if (packet.qos === 1) connection.client.puback(packet);
        onMessage(packet.topic, packet.utf8());
      },
      mqtt_disconnect(packet) {
        connection.reason = Number(packet.reason ?? 0);
        connection.close(`the node closed the connection (${packet.reason})`);
      },
    },
  });
}
