// Where a stream is, as the page beside it knows it: played by the browser or by hls.js, from its beginning or live
// with program dates; and when a question that is tied to it is shown.

import assert from "node:assert/strict";
import { pathToFileURL } from "node:url";

const media = await import(pathToFileURL(`${process.argv[2]}/media.js`));
const STARTED = Date.parse("2026-11-25T20:00:00Z");
const LIVE = "https://cdn.example/live.m3u8?token=1";

/** A video in a browser that knows HLS, or not. */
function video({ knowsHls }) {
  return {
    src: null,
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
  playingDate = null;
  constructor() {
    Hls.made.push(this);
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
const ofFile = media.playStream(file, "https://cdn.example/a.mp4", null, Hls);
assert.equal(file.src, "https://cdn.example/a.mp4");
assert.equal(ofFile(), null, "nothing is loaded yet");
Object.assign(file, { readyState: 1, currentTime: 12.5 });
assert.equal(ofFile(), 12500);
assert.equal(Hls.made.length, 0);

// Live with program dates, in a browser that knows HLS: hls.js is left alone.
const native = video({ knowsHls: true });
const ofNative = media.playStream(native, LIVE, STARTED, Hls);
assert.equal(native.src, LIVE);
assert.equal(Hls.made.length, 0);
assert.equal(ofNative(), null, "the browser does not know yet when the stream began");
native.getStartDate = () => new Date(STARTED - 5000);
native.currentTime = 65;
assert.equal(ofNative(), 60000);
delete native.getStartDate;
assert.equal(ofNative(), null, "a browser that never says");

// The same in a browser that does not: hls.js plays it and says which moment is shown.
const other = video({ knowsHls: false });
const ofHls = media.playStream(other, LIVE, STARTED, Hls);
const [hls] = Hls.made;
assert.deepEqual([hls.source, hls.media, other.src], [LIVE, other, null]);
assert.equal(ofHls(), null, "no segment with a date has come");
hls.playingDate = new Date(STARTED + 754000);
assert.equal(ofHls(), 754000);

// Without hls.js the browser is left to try.
const alone = video({ knowsHls: false });
media.playStream(alone, LIVE, STARTED, undefined);
assert.equal(alone.src, LIVE);

// A question that is tied to second 754 waits for the stream, and says for how long it did.
let at = 0;
performance.now = () => at;
const live = { stage: { instance: 3, phase: "open" }, question: { media_ms: 754000, window_ms: 10000, open_ms: 15000 }, paused: false };
const closesAt = 25000;
media.useStream(ofHls);
hls.playingDate = new Date(STARTED + 750000);
const opening = new media.Opening();
assert.equal(opening.shift(live, closesAt), null, "the stream is four seconds behind");
at = 4000;
hls.playingDate = new Date(STARTED + 754000);
assert.equal(opening.shift({ ...live, paused: true }, closesAt), null, "time stands still");
assert.equal(opening.shift(live, closesAt), 4000);
at = 9000;
assert.equal(opening.shift(live, closesAt), 4000, "it is shown once and stays");
const stuck = new media.Opening();
hls.playingDate = null;
assert.equal(stuck.shift(live, closesAt), null);
at = 10000;
assert.equal(stuck.shift(live, closesAt), 10000, "no stream holds it back beyond its window");
media.useStream(null);
assert.equal(new media.Opening().shift(live, closesAt), 0, "a page without a stream shows it at once");
