// The stream beside the show: a question that is tied to the stream's time is shown when the player's own
// stream gets there.
//
// A page that plays a stream says with `useStream` where it is. Without a stream such a question is shown as it
// opens. For how long it was held back goes with the answer; the nodes bound it by the question's window, after
// which it is shown whatever the stream does.

/** Where the stream is in milliseconds, or null while that is unknown; null instead of a function without one. */
let clock = null;

/** Ties questions to a stream: `now()` gives its time in milliseconds, or null while it is unknown. */
export const useStream = (now) => (clock = now);

/** The time of a video that is played from its beginning: a file, or a stream with all of its past. */
export const videoClock = (video) => () => (video.readyState > 0 ? video.currentTime * 1000 : null);

/** The time of a live stream with program dates, counted from `startMs`, the moment at which the show's stream began, in
 * milliseconds since 1970: `hls` is an instance of hls.js, or anything with `playingDate`. */
export const hlsClock = (hls, startMs) => () => (hls.playingDate ? hls.playingDate.getTime() - startMs : null);

/** The same where the browser itself plays HLS. */
export const nativeHlsClock = (video, startMs) => () => {
  const began = video.getStartDate?.().getTime();
  return Number.isFinite(began) ? began + video.currentTime * 1000 - startMs : null;
};

/** Whether an address is one of HLS. */
const isHls = (src) => /\.m3u8($|[?#])/i.test(src);

/** The hls.js that a page has loaded, or else the one that nodes serve; it is fetched once it is needed. */
const hlsOfPage = async () => globalThis.Hls ?? (await import("./vendor/hls-1.7.4.light.min.mjs")).default;

/**
 * Whether the browser by itself plays a stream and says where it is. Some play HLS and never say which moment they show:
 * to them a live stream has no clock.
 */
const playsAlone = (video, src, startMs) =>
  !isHls(src) || (Boolean(video.canPlayType("application/vnd.apple.mpegurl")) && (startMs === null || Boolean(video.getStartDate)));

/**
 * Plays a stream and gives its clock. Where the browser cannot do it by itself hls.js does, which `loadHls` gives.
 * `startMs` is the moment at which a live stream with program dates began, in milliseconds since 1970; null for what is
 * played from its beginning. `onState` is told "playing" and "failed", as often as that changes.
 *
 * @throws Error, with the reason in words, where nothing here can play it
 */
export async function playStream(video, src, startMs = null, { onState = () => {}, loadHls = hlsOfPage } = {}) {
  video.addEventListener("playing", () => onState("playing"));
  video.addEventListener("error", () => onState("failed"));
  if (playsAlone(video, src, startMs)) {
    video.src = src;
    return startMs === null ? videoClock(video) : nativeHlsClock(video, startMs);
  }
  const Hls = await loadHls();
  if (!Hls.isSupported()) throw new Error("This browser plays no HLS, and has nothing that could play it for it.");
  // A worker would have to come from a blob, which the pages' policy forbids.
  const hls = new Hls({ enableWorker: false });
  hls.on(Hls.Events.ERROR, (_, error) => error.fatal && onFatal(hls, Hls, src, error, onState));
  hls.loadSource(src);
  hls.attachMedia(video);
  return startMs === null ? videoClock(video) : hlsClock(hls, startMs);
}

/** Between two tries with a stream that is not there, or not yet. */
const AGAIN_MS = 5000;

/** What hls.js gives up is tried again: a live stream may not have begun, or its server be restarted. */
function onFatal(hls, Hls, src, { type }, onState) {
  onState("failed");
  if (type === Hls.ErrorTypes.MEDIA_ERROR) hls.recoverMediaError();
  else setTimeout(() => hls.loadSource(src), AGAIN_MS);
}

/** For how long a question has been open by now that closes for the last at `closesAt`, in milliseconds. */
const openedSince = ({ open_ms, window_ms = 0 }, closesAt) => performance.now() - (closesAt - open_ms - window_ms);

/** When this page has shown a question that is tied to the stream. */
export class Opening {
  shown = { instance: 0, shift: 0 };

  /**
   * For how long after its opening this page held the question back, in milliseconds; null while it still does.
   * `closesAt` is when the round closes for the last, on the page's own clock.
   */
  shift({ stage, question, paused }, closesAt) {
    if (stage.phase !== "open" || question?.media_ms === undefined || question.media_ms === null) return 0;
    if (this.shown.instance === stage.instance) return this.shown.shift;
    const window = question.window_ms ?? 0;
    const since = openedSince(question, closesAt);
    const now = clock?.() ?? null;
    const isThere = clock === null || (now !== null && now >= question.media_ms) || since >= window;
    if (paused || !isThere) return null;
    const shift = clock === null ? 0 : Math.round(Math.max(0, Math.min(since, window)));
    this.shown = { instance: stage.instance, shift };
    return shift;
  }

  /** In how long a question that is held back will be shown, in milliseconds; null while nobody knows. */
  left({ question, paused }, closesAt) {
    const now = clock?.() ?? null;
    if (paused || now === null || closesAt === null) return null;
    const atMost = (question.window_ms ?? 0) - openedSince(question, closesAt);
    return Math.max(0, Math.min(question.media_ms - now, atMost));
  }
}
