// A player with mqtt.js. README.md says what it does and which variables it reads.

import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import mqtt from "mqtt";

const { MQTT_URL = "mqtt://127.0.0.1:1883", PIN, NAME = "Example", CA_FILE } = process.env;
const OTHER_URL = process.env.OTHER_URL ?? MQTT_URL;
const player = randomBytes(16).toString("hex"); // whoever knows it can read this player's inbox
let hash = 2166136261;
for (const digit of player) hash = Math.imul(hash ^ digit.charCodeAt(0), 16777619);
const slot = (((hash >>> 8) ^ hash) & 255).toString(16).padStart(2, "0");

/** One connection: publishes `first`, then lets the handlers see what comes, until one returns true. */
async function play(url, first, { onInbox, onLive = () => false }) {
  const client = await mqtt.connectAsync(url, {
    protocolVersion: Number(process.env.MQTT_VERSION ?? 5),
    ...(CA_FILE && { ca: readFileSync(CA_FILE) }),
  });
  const publish = (topic, payload) => client.publishAsync(topic, JSON.stringify(payload), { qos: 1 });
  const done = new Promise((resolve) => {
    client.on("message", (topic, payload) => {
      const heard = JSON.parse(payload);
      const isInbox = topic.startsWith("inbox/");
      if (isInbox) console.log(JSON.stringify(heard));
      if ((isInbox ? onInbox : onLive)(heard, publish)) resolve();
    });
  });
  await client.subscribeAsync([`inbox/${player}`, `live/${PIN}`], { qos: 1 });
  await publish(`connect/${slot}`, first);
  await done;
  await client.endAsync();
}

let token = null;
let instance = null;
let answered = false;

function answerOnce(publish) {
  if (!token || !instance || answered) return;
  answered = true;
  publish(`answer/${slot}`, { token, instance, choices: [0] });
}

await play(MQTT_URL, { pin: PIN, player, name: NAME }, {
  onInbox(heard, publish) {
    if (heard.type === "joined" && heard.pin === PIN) token = heard.token; // of this show, not of another
    answerOnce(publish);
    return heard.type === "receipt";
  },
  onLive({ stage }, publish) {
    instance = stage.phase === "open" ? stage.instance : null;
    answerOnce(publish);
    return false;
  },
});
await play(OTHER_URL, { token }, { onInbox: (heard) => heard.type === "joined" });
