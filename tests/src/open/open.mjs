// mqtt.js against the open profile of a node: each step waits for what a general broker owes its clients.

import assert from "node:assert/strict";
import mqtt from "mqtt";

const url = process.env.MQTT_URL;
const protocolVersion = Number(process.env.MQTT_VERSION);
const tag = `js-${protocolVersion}-${url.split(":")[0]}`;
const v5 = protocolVersion === 5;
setTimeout(() => { console.error("not done in time"); process.exit(1); }, 100_000).unref();

// A client that keeps what it hears; `heard(count)` waits for so many.
async function come(name, { kept = false, will } = {}) {
  const client = mqtt.connect(url, {
    protocolVersion,
    clientId: `${tag}-${name}`,
    clean: !kept,
    reconnectPeriod: 0,
    will,
    properties: v5 ? { sessionExpiryInterval: kept ? 600 : 0 } : undefined,
  });
  const messages = [];
  let wake = () => {};
  client.on("message", (topic, payload, packet) => {
    messages.push({ topic, payload: payload.toString(), packet });
    wake();
  });
  // What waited in a session comes with the CONNACK: whoever listens only then may miss some.
  await new Promise((resolve, reject) => { client.once("connect", resolve); client.once("error", reject); });
  client.heard = async (count) => {
    while (messages.length < count) await new Promise((resolve) => { wake = resolve; });
    return messages.splice(0, count);
  };
  return client;
}

async function everyQualityThroughWildcards() {
  const [ada, bob] = [await come("ada"), await come("bob")];
  await ada.subscribeAsync(`${tag}/+/#`, { qos: 2 });
  for (const qos of [0, 1, 2]) await bob.publishAsync(`${tag}/room/${qos}`, `${qos}`, { qos });
  const heard = (await ada.heard(3)).map(({ topic, packet }) => [topic, packet.qos, packet.retain]);
  assert.deepEqual(heard.sort(), [0, 1, 2].map((qos) => [`${tag}/room/${qos}`, qos, false]));
  await Promise.all([ada.endAsync(), bob.endAsync()]);
}

async function retainedMessages() {
  const ada = await come("ada");
  await ada.publishAsync(`${tag}/kept`, "old", { qos: 1, retain: true });
  await ada.publishAsync(`${tag}/kept`, "new", { qos: 2, retain: true });
  await ada.subscribeAsync(`${tag}/kept`, { qos: 1 });
  const [{ payload, packet }] = await ada.heard(1);
  assert.deepEqual([payload, packet.retain, packet.qos], ["new", true, 1]);
  await ada.publishAsync(`${tag}/kept`, "", { qos: 1, retain: true });
  await ada.endAsync();
}

async function sessionsAndTheirQueues() {
  let ada = await come("keeper", { kept: true });
  const bob = await come("bob");
  await ada.subscribeAsync(`${tag}/queue`, { qos: 2 });
  await ada.endAsync();
  const numbers = Array.from({ length: 50 }, (_, number) => `${number}`);
  for (const number of numbers) await bob.publishAsync(`${tag}/queue`, number, { qos: 1 });
  ada = await come("keeper", { kept: true });
  assert.deepEqual((await ada.heard(50)).map(({ payload }) => payload), numbers);
  await ada.endAsync();
  await (await come("keeper")).endAsync();
  await bob.endAsync();
}

async function wills() {
  const ada = await come("ada");
  await ada.subscribeAsync(`${tag}/will`, { qos: 1 });
  const will = { topic: `${tag}/will`, payload: Buffer.from("bye"), qos: 1, retain: false };
  (await come("mortal", { will })).stream.destroy();
  assert.equal((await ada.heard(1))[0].payload, "bye");
  await ada.endAsync();
}

async function sharedSubscriptions() {
  const team = [await come("one"), await come("two")];
  for (const member of team) await member.subscribeAsync(`$share/team/${tag}/work`, { qos: 1 });
  const bob = await come("bob");
  for (let number = 0; number < 10; number += 1) await bob.publishAsync(`${tag}/work`, `${number}`, { qos: 1 });
  const heard = (await Promise.all(team.map((member) => member.heard(5)))).flat();
  const numbers = heard.map(({ payload }) => Number(payload)).sort((a, b) => a - b);
  assert.deepEqual(numbers, Array.from({ length: 10 }, (_, number) => number));
  await Promise.all([...team, bob].map((client) => client.endAsync()));
}

async function whatOnlyMqtt5Has() {
  const [ada, bob] = [await come("ada"), await come("bob")];
  await ada.subscribeAsync(`${tag}/five`, { qos: 1, nl: true, properties: { subscriptionIdentifier: 77 } });
  await ada.publishAsync(`${tag}/five`, "own", { qos: 1 });
  const properties = { userProperties: { a: ["1", "2"] }, contentType: "text/plain", responseTopic: `${tag}/reply` };
  await bob.publishAsync(`${tag}/five`, "other", { qos: 1, properties });
  const [{ payload, packet }] = await ada.heard(1);
  assert.equal(payload, "other");
  assert.equal(packet.properties.subscriptionIdentifier, 77);
  assert.deepEqual({ ...packet.properties.userProperties }, { a: ["1", "2"] });
  assert.equal(packet.properties.responseTopic, `${tag}/reply`);
  await Promise.all([ada.endAsync(), bob.endAsync()]);
}

await everyQualityThroughWildcards();
await retainedMessages();
await sessionsAndTheirQueues();
await wills();
await sharedSubscriptions();
if (v5) await whatOnlyMqtt5Has();
process.exit(0);
