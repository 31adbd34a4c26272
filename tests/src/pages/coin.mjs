// The guide's own kind, as pages load it: what a player taps, and what everybody sees of it.

import assert from "node:assert/strict";
import { pathToFileURL } from "node:url";

/** As much of an element as the pages' scripts ask for. */
class Element {
  attributes = {};
  children = [];
  style = { setProperty() {} };
  constructor(tag) {
    this.tag = tag;
  }
  setAttribute(name, value) {
    this.attributes[name] = value;
  }
  append(...children) {
    this.children.push(...children);
  }
  find(tag) {
    const below = this.children.filter((child) => child instanceof Element);
    return [...below.filter((child) => child.tag === tag), ...below.flatMap((child) => child.find(tag))];
  }
  get text() {
    return this.children.map((child) => child.text ?? String(child)).join(" ");
  }
}
globalThis.document = { createElement: (tag) => new Element(tag), createElementNS: (_, tag) => new Element(tag) };

const coin = await import(pathToFileURL(`${process.argv[2]}/engagement/coin.js`));

const buttons = coin.input({ text: "Heads or tails?" }, { picked: [1], frozen: false }).find("button");
assert.deepEqual(buttons.map((button) => button.attributes["aria-pressed"]), ["false", "true"]);
assert.match(buttons[0].text, /Heads/);
assert.match(buttons[1].text, /Tails/);

const rows = coin.shown({ tallies: [3, 1], reveal: { correct: [1] } }).find("li");
assert.deepEqual(rows.map((row) => row.attributes["data-correct"]), ["false", "true"]);
assert.equal(typeof coin.said({ choices: [1] }), "string");
