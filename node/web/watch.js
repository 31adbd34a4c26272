// An example of a page that plays a show beside its stream: `/watch?pin=PIN&src=URL`, and `&start=MS` for a live
// stream with program dates, the moment at which it began in milliseconds since 1970.
//
// The browser plays `src` itself, or hls.js does where the page has loaded it; everything else is the player's page.

import { pageParameters } from "./common.js";
import { playStream, useStream } from "./media.js";
import "./player.js";

const video = document.getElementById("stream");
const { src, start } = Object.fromEntries(pageParameters());

if (/^https?:\/\//.test(src ?? "")) {
  useStream(playStream(video, src, start ? Number(start) : null));
} else {
  video.remove();
}
