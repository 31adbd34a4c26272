// An example of a page that plays a show beside its stream: `/watch?pin=PIN&src=URL`, and `&start=MS` for a live
// stream with program dates, the moment at which it began in milliseconds since 1970.
//
// The browser plays `src` itself. A page with a player of its own, such as hls.js, does the same with
// `hlsClock`; everything else is the player's page.

import { pageParameters } from "./common.js";
import { nativeHlsClock, useStream, videoClock } from "./media.js";
import "./player.js";

const video = document.getElementById("stream");
const { src, start } = Object.fromEntries(pageParameters());

if (/^https?:\/\//.test(src ?? "")) {
  video.src = src;
  useStream(start ? nativeHlsClock(video, Number(start)) : videoClock(video));
} else {
  video.remove();
}
