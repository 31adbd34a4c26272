// What a player's page publishes at a broker, whatever the broker and the nodes say: run with the folder of the
// page's scripts. Time runs a hundred times as fast; what was waited for is kept.

import assert from "node:assert/strict";
import { pathToFileURL } from "node:url";

const { setTimeout: later } = globalThis;
const pauses = [];
globalThis.setTimeout = (then, ms) => (pauses.push(ms), later(then, ms / 100));
globalThis.location = { host: "node", origin: "http://node", protocol: "http:" };
const { BrokerLink } = await import(pathToFileURL(`${process.argv[2]}/broker-link.js`));

const PUBLISHED_MAX = 40;
const links = [];

/** A link that is in, at a broker that answers each publish with what `hears` gives: a reason code, or nothing. */
function linkAt(hears) {
  const on = { state() {}, message() {}, renewed() {}, answered: () => assert.fail("only nodes refuse players") };
  const link = new BrokerLink({ pin: "123456", player: "0".repeat(32), broker: ["ws://broker"], request: () => ({}), on });
  const published = [];
  const connection = {
    lost: new Promise(() => {}),
    close() {},
    async publish(topic, message) {
      published.push(message);
      assert.ok(published.length < PUBLISHED_MAX, "it repeats for ever");
      return { reason: hears(link, published) ?? 0, receipt: null };
    },
  };
  links.push(link);
  pauses.length = 0;
  Object.assign(link, { connection, isIn: true });
  return { link, published, connection };
}

const receipt = (instance, level, choices = [1]) => ({ type: "receipt", instance, level, choices, status: "accepted" });
const tell = (link, message) => link.deliver("inbox/a", message, true);
const show = (link, instance, phase) => link.deliverLive("live/123456", { stage: { instance, phase } });
const answer = { instance: 7, choices: [1] };

const checks = {
  async "what never becomes firm is asked for ever more slowly, and not for ever"() {
    const { link, published } = linkAt((link) => void tell(link, receipt(7, "provisional")));
    show(link, 7, "open");
    const { receipt: known } = await link.publish(answer);
    assert.equal(known.level, "provisional");
    assert.equal(published.length, 4);
    assert.ok(pauses.at(-1) > 2 * pauses[0], pauses.join());
  },

  async "a provisional receipt is enough once the question is closed"() {
    const { link, published } = linkAt((link) => {
      tell(link, receipt(7, "provisional"));
      show(link, 7, "closed");
    });
    show(link, 7, "open");
    assert.equal((await link.publish(answer)).receipt.level, "provisional");
    assert.equal(published.length, 1);
  },

  async "an answer of which nothing is heard is given up with the next question, not before"() {
    const { link, published } = linkAt((link, { length }) => void show(link, length < 6 ? 7 : 8, length < 3 ? "open" : "closed"));
    await assert.rejects(link.publish(answer));
    assert.equal(published.length, 6);
  },

  async "the firm receipt ends it"() {
    const { link, published } = linkAt((link, { length }) => void tell(link, receipt(7, length < 3 ? "provisional" : "firm")));
    assert.equal((await link.publish(answer)).receipt.level, "firm");
    assert.equal(published.length, 3);
  },

  async "no choice of a team is published after a newer one"() {
    const { link, published } = linkAt((link, { length }) => void (length > 5 && tell(link, receipt(0, "firm", [2]))));
    const red = assert.rejects(link.publish({ instance: 0, choices: [1] }));
    const other = link.publish(answer);
    const blue = link.publish({ instance: 0, choices: [2] });
    await Promise.all([red, blue]);
    const teams = published.filter(({ instance }) => instance === 0).map(({ choices: [team] }) => team);
    assert.equal(teams.lastIndexOf(1), 0, teams.join());
    tell(link, receipt(7, "firm"));
    assert.equal((await other).receipt.instance, 7, "an answer goes on beside it");
  },

  async "what the broker refuses is published again, ever more slowly"() {
    const { link, published } = linkAt((link, { length }) => (length < 4 ? 0x97 : void tell(link, receipt(7, "firm"))));
    assert.equal((await link.publish(answer)).receipt.level, "firm");
    assert.equal(published.length, 4);
    assert.ok(pauses[2] > pauses[0], pauses.join());
  },

  async "who is closed again and again as soon as it is in leaves the inbox to another device"() {
    const [closed, kept, open] = [{ isClosed: true, wasIn: true }, { isClosed: false, wasIn: true }, { isClosed: true, wasIn: false }];
    const gone = { isClosed: false, wasIn: false };
    const after = (ends) => {
      const { link } = linkAt(() => 0);
      return ends.map(([end, at]) => link.isTakenAgain(end, at * 1000));
    };
    assert.deepEqual(after([[closed, 100], [closed, 103], [closed, 106]]), [false, false, true]);
    assert.deepEqual(after([[closed, 100], [closed, 131], [closed, 162], [closed, 193]]).includes(true), false, "a broker that is restarted now and then");
    assert.deepEqual(after([[closed, 100], [gone, 101], [closed, 103], [gone, 104], [closed, 106]]).includes(true), false, "a broker that is gone in between");
    assert.deepEqual(after([[closed, 100], [kept, 103], [closed, 106], [closed, 109]]).includes(true), false, "a device that slept");
    assert.deepEqual(after([[closed, 100], [open, 101], [open, 102]]), [false, false, true], "the other one is quicker than the nodes");
    assert.deepEqual(after([[open, 100], [open, 101], [open, 102], [open, 103]]).includes(true), false, "a broker that nobody gets into");
  },

  async "of two tabs the one that came later stays, whatever each hears first"() {
    const [older, newer] = [linkAt(() => 0).link, linkAt(() => 0).link];
    for (const link of [older, newer]) link.inbox = "inbox/a";
    newer.came.at = older.came.at + 1;
    newer.isIn = false; // the older one came back for the inbox before it had heard
    newer.onOther({ data: { inbox: "inbox/a", came: older.came } });
    assert.equal(newer.stopped, false);
    older.isIn = false;
    older.onOther({ data: { inbox: "inbox/b", came: newer.came } });
    assert.equal(older.stopped, false, "another player's inbox");
    older.onOther({ data: { inbox: "inbox/a", came: newer.came } });
    assert.equal(older.stopped, true);
  },

  async "the will names the connection, and only a player who is in leaves one"() {
    const { link } = linkAt(() => 0);
    assert.equal(link.will("a"), null, "without a token there is nothing to prove");
    link.request = () => ({ token: "slp_x" });
    assert.deepEqual(link.will("a"), { topic: "connect/21", message: { token: "slp_x", gone: "a" } });
    assert.equal(link.will(null), null, "who asks for the inbox is not there yet");
  },

  async "whom only the broker refuses goes on asking, and to another one in the end"() {
    const { link, published, connection } = linkAt((_, { length }) => (length === 3 ? 0 : 0x97));
    await link.ask(connection, { reply: "reply/a" }, () => published.length === 4);
    await assert.rejects(link.ask(connection, { reply: "reply/a" }, () => false));
    assert.equal(published.length, 9);
  },
};

for (const [what, check] of Object.entries(checks)) {
  await check().catch((error) => assert.fail(`${what}: ${error.message}`));
  for (const link of links.splice(0)) link.stop();
}
process.exit(0);
