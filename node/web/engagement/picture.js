// The picture of a question: from the node in use, which has fetched it once for all.
//
// A crowd never goes to where the show says the picture is: were the node to be without it, all would go there in
// the same second, and whoever serves it would learn who plays. A page asks the node again instead, a few times.

import { h } from "../common.js";

/** How often a path was missed. */
const missed = new Map();
/** Pictures that were asked for before their question opened. */
const announced = new Set();
const TRIES = 6;
/** A node that failed to fetch a picture tries again after 5 s. A crowd's pages ask within as long again. */
const AGAIN_MS = 5000;

globalThis.document?.addEventListener("error", (event) => {
  const { path } = event.target.dataset ?? {};
  const tries = (missed.get(path) ?? 0) + 1;
  if (!path || tries > TRIES) return;
  setTimeout(() => {
    missed.set(path, tries);
    event.target.src = source(path, event.target.dataset.base);
  }, AGAIN_MS * (1 + Math.random()));
}, true);

/** Where a picture is asked for; another address each time, or the browser would remember that it failed. */
const source = (path, base) => `${base}${path}${missed.has(path) ? `?again=${missed.get(path)}` : ""}`;

/** Has the node fetch a picture while its question is read out, so that it is there when the question opens. */
export function announcePicture({ image_path: path }, base) {
  if (!path || announced.has(path)) return;
  announced.add(path);
  new Image().src = source(path, base);
}

/** The picture of a question, at the node with this base URL. */
export function picture({ image_path: path }, base) {
  if (!path) return null;
  return h("img", { class: "picture", testid: "picture", src: source(path, base), alt: "", "data-path": path, "data-base": base });
}
