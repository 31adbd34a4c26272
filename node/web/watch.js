// An example of a page that plays a show beside its stream: `/watch?pin=PIN&src=URL`, and `&start=MS` for a live
// stream with program dates, the moment at which it began in milliseconds since 1970.
//
// The browser plays `src` itself, or hls.js does; everything else is the player's page. A stream that does not play
// holds nothing back: until it does, questions come as they open, and the page says so.

import { pageParameters } from "./common.js";
import { playStream, useStream } from "./media.js";
import "./player.js";

const video = document.getElementById("stream");
const note = document.getElementById("stream-note");
const { src, start } = Object.fromEntries(pageParameters());

async function watch() {
  if (!/^https?:\/\//.test(src ?? "")) {
    video.remove();
    return say(src === undefined ? "" : "The address of the stream has to begin with https:// or http://.");
  }
  // Until its clock is there nobody knows where the stream is.
  let clock = () => null;
  useStream(() => clock());
  const onState = (word) => {
    useStream(word === "playing" ? () => clock() : null);
    say(word === "playing" ? "" : "The stream does not play just now. Until it does, questions come as they open.");
  };
  try {
    clock = await playStream(video, src, start ? Number(start) : null, { onState });
  } catch (error) {
    useStream(null);
    say(`${error.message} Questions come as they open.`);
  }
}

function say(words) {
  note.textContent = words;
  note.hidden = words === "";
}

watch();
