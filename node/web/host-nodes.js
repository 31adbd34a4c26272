// The nodes on the host's page: who carries the show, and from which one it is driven.

import { h } from "./common.js";

/** The nodes that carry the show, and whether they have sealed the current round. */
export function carriersCard(view) {
  const row = (each) =>
    h(
      "li",
      { testid: `carrier-${each.node}`, "data-key": each.origin, "data-sealed": String(each.sealed), "data-reachable": String(each.reachable) },
      h("b", {}, each.node),
      h("span", { class: `badge ${each.reachable ? "good" : "bad"}` }, each.reachable ? "● reachable" : "○ away"),
      h("span", { class: `badge ${each.sealed ? "good" : ""}` }, each.sealed ? "✓ sealed" : "not sealed"),
    );
  return h("section", { class: "card carriers", "aria-label": "Nodes that carry this show" }, h("h2", {}, "Carried by"), h("ul", { testid: "carriers" }, view.enrolled.map(row)));
}

/** The nodes to drive from. */
export function nodesCard(nodes) {
  const button = (node) => {
    const isCurrent = node.http === nodes.current.http;
    const attrs = { type: "button", testid: `node-${node.name}`, "data-key": node.http, "data-action": "node", "data-http": node.http };
    return h("button", { ...attrs, class: isCurrent ? "current" : "", "aria-pressed": String(isCurrent) }, node.name);
  };
  return h(
    "section",
    { class: "card", "aria-label": "Node in use" },
    h("h2", {}, "Drive from"),
    h("p", { class: "muted" }, "Any node will do. If this one goes away, the console moves by itself."),
    h("div", { class: "buttons", testid: "nodes" }, nodes.nodes.map(button)),
  );
}
