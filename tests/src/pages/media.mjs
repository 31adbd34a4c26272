// Where a stream is, as the page beside it knows it: played by the browser or by hls.js, from its beginning or live
// with program dates; and when a question that is tied to it is shown.

import assert from "node:assert/strict";
import { pathToFileURL } from "node:url";

const media = await import(pathToFileURL(`${process.argv[2]}/media.js`));
const STARTED = Date.parse("2026-11-25T20:00:00Z");
const LIVE = "https://cdn.example/live.m3u8?token=1";

/** A video in a browser that knows HLS, or not. */
function video({ knowsHls }) {
  const heard = {};
  return {
    src: null,
    addEventListener: (name, then) => (heard[name] = then),
    happens: (name) => heard[name](),
    readyState: 0,
    currentTime: 0,
    canPlayType: (type) => (knowsHls && type === "application/vnd.apple.mpegurl" ? "maybe" : ""),
    getStartDate: () => new Date(NaN),
  };
}

/** As much of hls.js as a page touches. */
class Hls {
  static isSupported = () => true;
  static made = [];
  static Events = { ERROR: "hlsError" };
  static ErrorTypes = { MEDIA_ERROR: "mediaError" };
  recovered = 0;
  playingDate = null;
  constructor() {
    Hls.made.push(this);
  }
  on(name, then) {
    this[name] = then;
  }
  recoverMediaError() {
    this.recovered += 1;
  }
  loadSource(src) {
    this.source = src;
  }
  attachMedia(element) {
    this.media = element;
  }
}

// A file, or a stream with all of its past: the browser plays it, and its own time counts.
const file = video({ knowsHls: false });
const said = [];
const how = { loadHls: async () => Hls, onState: (word) => said.push(word) };
const ofFile = await media.playStream(file, "https://cdn.example/a.mp4", null, how);
assert.equal(file.src, "https://cdn.example/a.mp4");
assert.equal(ofFile(), null, "nothing is loaded yet");
Object.assign(file, { readyState: 1, currentTime: 12.5 });
assert.equal(ofFile(), 12500);
assert.equal(Hls.made.length, 0);

// Live with program dates, in a browser that knows HLS: hls.js is left alone.
const native = video({ knowsHls: true });
const ofNative = await media.playStream(native, LIVE, STARTED, how);
assert.equal(native.src, LIVE);
assert.equal(Hls.made.length, 0);
assert.equal(ofNative(), null, "the browser does not know yet when the stream began");
native.getStartDate = () => new Date(STARTED - 5000);
native.currentTime = 65;
assert.equal(ofNative(), 60000);

// From its beginning any browser that knows HLS will do.
const whole = video({ knowsHls: true });
delete whole.getStartDate;
const ofWhole = await media.playStream(whole, LIVE, null, how);
assert.deepEqual([whole.src, Hls.made.length], [LIVE, 0]);
Object.assign(whole, { readyState: 1, currentTime: 3 });
assert.equal(ofWhole(), 3000);

// A browser that knows HLS and never says which moment it shows, or knows none: hls.js plays it and says so.
const chrome = video({ knowsHls: true });
delete chrome.getStartDate;
await media.playStream(chrome, LIVE, STARTED, how);
assert.deepEqual([chrome.src, Hls.made.pop().media], [null, chrome]);
const other = video({ knowsHls: false });
const ofHls = await media.playStream(other, LIVE, STARTED, how);
const [hls] = Hls.made;
assert.deepEqual([hls.source, hls.media, other.src], [LIVE, other, null]);
assert.equal(ofHls(), null, "no segment with a date has come");
hls.playingDate = new Date(STARTED + 754000);
assert.equal(ofHls(), 754000);

// What goes wrong is told, and tried again where that may help.
const again = [];
globalThis.setTimeout = (then, ms) => again.push([then, ms]);
hls.hlsError("hlsError", { type: "networkError", fatal: false });
assert.deepEqual([said, again.length], [[], 0], "hls.js is at it itself");
hls.hlsError("hlsError", { type: "networkError", fatal: true });
hls.source = null;
again[0][0]();
assert.deepEqual([hls.source, again[0][1]], [LIVE, 5000]);
hls.hlsError("hlsError", { type: "mediaError", fatal: true });
other.happens("playing");
file.happens("error");
assert.deepEqual([hls.recovered, again.length], [1, 1]);
assert.deepEqual(said, ["failed", "failed", "playing", "failed"]);

// A browser that can play it by no means says so.
const old = { loadHls: async () => ({ isSupported: () => false }) };
await assert.rejects(media.playStream(video({ knowsHls: false }), LIVE, null, old), /plays no HLS/);

// The hls.js that nodes serve has what is asked of it here.
const { default: served } = await import(pathToFileURL(`${process.argv[2]}/vendor/hls-1.7.4.light.min.mjs`));
assert.equal(served.version, "1.7.4");
assert.equal(served.Events.ERROR, Hls.Events.ERROR);
assert.equal(served.ErrorTypes.MEDIA_ERROR, Hls.ErrorTypes.MEDIA_ERROR);
for (const name of ["loadSource", "attachMedia", "recoverMediaError", "on"]) assert.equal(typeof served.prototype[name], "function", name);
assert.ok(Object.getOwnPropertyDescriptor(served.prototype, "playingDate"));

// A question that is tied to second 754 waits for the stream, and says for how long it did.
let at = 0;
performance.now = () => at;
const live = { stage: { instance: 3, phase: "open" }, question: { media_ms: 754000, window_ms: 10000, open_ms: 15000 }, paused: false };
const closesAt = 25000;
media.useStream(ofHls);
hls.playingDate = new Date(STARTED + 750000);
const opening = new media.Opening();
assert.equal(opening.shift(live, closesAt), null, "the stream is four seconds behind");
assert.equal(opening.left(live, closesAt), 4000);
assert.equal(opening.left({ ...live, paused: true }, closesAt), null, "nobody knows when time goes on");
at = 4000;
hls.playingDate = new Date(STARTED + 754000);
assert.equal(opening.shift({ ...live, paused: true }, closesAt), null, "time stands still");
assert.equal(opening.shift(live, closesAt), 4000);
at = 9000;
assert.equal(opening.shift(live, closesAt), 4000, "it is shown once and stays");
const stuck = new media.Opening();
hls.playingDate = null;
assert.equal(stuck.shift(live, closesAt), null);
assert.equal(stuck.left(live, closesAt), null, "a stream that says nothing");
hls.playingDate = new Date(STARTED);
assert.equal(stuck.left(live, closesAt), 1000, "no longer than its window");
hls.playingDate = null;
at = 10000;
assert.equal(stuck.shift(live, closesAt), 10000, "no stream holds it back beyond its window");
media.useStream(null);
assert.equal(new media.Opening().shift(live, closesAt), 0, "a page without a stream shows it at once");
