// The picture of a question: from the node in use, which has fetched it once for all; from where the show says it
// is, should the node not have it.

import { h } from "../common.js";

/** Paths that a node did not serve. */
const missed = new Set();

document.addEventListener("error", (event) => {
  const { path, source } = event.target.dataset ?? {};
  if (!path || missed.has(path)) return;
  missed.add(path);
  event.target.src = source;
}, true);

/** The picture of a question, at the node with this base URL. */
export function picture({ image, image_path: path }, base) {
  if (!image) return null;
  const src = path && !missed.has(path) ? `${base}${path}` : image;
  return h("img", { class: "picture", testid: "picture", src, alt: "", "data-path": path, "data-source": image });
}
