// A question's picture at a node that cannot have it: the page asks the node again, a few times and not at once, and
// never goes to where the show says that the picture is.

import assert from "node:assert/strict";
import { pathToFileURL } from "node:url";

/** As much of an image as the script asks for. */
class Element {
  dataset = {};
  setAttribute(name, value) {
    if (name.startsWith("data-")) this.dataset[name.slice(5)] = value;
    else this[name] = value;
  }
  append() {}
}
let onError = null;
globalThis.document = {
  createElement: () => new Element(),
  addEventListener: (name, listener, capture) => name === "error" && capture && (onError = listener),
};
const loaded = [];
globalThis.Image = class {
  set src(address) {
    loaded.push(address);
  }
};
const waits = [];
globalThis.setTimeout = (work, ms) => waits.push({ work, ms });

const { announcePicture, picture } = await import(pathToFileURL(`${process.argv[2]}/engagement/picture.js`));
const question = { image: "https://author.example/a.png", image_path: "/api/v1/images/e/name" };

assert.equal(picture({ image: null, image_path: null }, "http://n1"), null);
announcePicture(question, "http://n1");
announcePicture(question, "http://n1");
assert.deepEqual(loaded, ["http://n1/api/v1/images/e/name"], "asked for once, while the question is read out");

const image = picture(question, "http://n1");
assert.equal(image.src, "http://n1/api/v1/images/e/name");
const asked = [];
for (let tries = 0; tries < 20; tries += 1) {
  onError({ target: image });
  const wait = waits.shift();
  if (!wait) break;
  assert.ok(wait.ms >= 5000 && wait.ms <= 10000, `a crowd would come back at once: ${wait.ms} ms`);
  wait.work();
  asked.push(image.src);
}
assert.equal(asked.length, 6, "not for ever");
assert.equal(new Set(asked).size, 6, "each time anew");
assert.ok(asked.every((src) => src.startsWith("http://n1/api/v1/images/e/name?again=")), asked.join());
assert.equal(picture(question, "http://n1").src, asked.at(-1), "a redraw changes nothing");
onError({ target: new Element() });
assert.equal(waits.length, 0, "other images are nobody's business");
