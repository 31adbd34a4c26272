// Tells readers that a host has changed a result: by another key, by declaring a round void, by an award.
//
// A round's result was revised whenever its number is above nothing. The leaderboard's number grows in the
// ordinary course of a show, by awards and by rulings on earlier rounds, so that only what changes while the
// board is looked at is news.

import { h } from "../common.js";

export class Revised {
  /** Takes a view that has just come. */
  take({ stage, result }) {
    const isBoard = ["board", "ended"].includes(stage.phase);
    const number = (isBoard ? result?.board_revision : result?.revision) ?? 0;
    const key = `${stage.instance}/${isBoard}`;
    if (this.key !== key) Object.assign(this, { key, first: isBoard ? number : 0 });
    this.number = number;
    this.is = number > this.first;
  }

  /** A badge, while there is something to tell. */
  badge() {
    return this.is && h("span", { class: "badge settled", testid: "revised", "data-value": this.number, title: "A host has changed this result." }, "Revised");
  }
}
