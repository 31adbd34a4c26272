// Questions and answers: posts, and votes for them.

import { count, h } from "../common.js";
import { textForm } from "./parts.js";

/** Posts that a big screen shows: those with the most votes. */
const SHOWN = 6;

export const said = () => "Your post";

/** What is said of a post or a vote that was taken. */
export const taken = ({ question }) => (question.moderated ? "Taken. A host looks at questions first." : "Taken.");

/** Posts and votes are many: there is no one answer to be told of. */
export const counted = true;

export const input = (question) =>
  textForm("qa", { label: question.moderated ? "Your question (a host looks at it first)" : "Your question", testid: "post", stream: true, send: "Ask" });

export const collect = (form) => (form.elements.given.value.trim() === "" ? "Write something first." : { text: form.elements.given.value });

export function shown({ results, stage, posts_waiting: waiting = [] }, own) {
  const canVote = own && stage.phase === "open";
  const row = (post) =>
    h(
      "li",
      { class: `post ${post.fate}`, testid: `post-${post.id}`, "data-key": post.id },
      h("p", {}, post.text),
      h("p", { class: "muted" }, post.name, post.fate === "answered" && " · answered"),
      canVote
        ? h("button", { type: "button", testid: "vote", "data-action": "send", "data-given": JSON.stringify({ post: post.id }) }, `▲ ${count(post.votes)}`)
        : h("b", { testid: "votes", "data-value": post.votes }, `▲ ${count(post.votes)}`),
    );
  const posts = results?.posts ?? [];
  if (posts.length === 0) return waiting.length > 0 ? null : h("p", { class: "muted" }, "No questions yet.");
  if (own) return h("ol", { class: "posts", testid: "posts" }, posts.map(row));
  const more = posts.length - SHOWN;
  return [h("ol", { class: "posts", testid: "posts" }, posts.slice(0, SHOWN).map(row)), more > 0 && h("p", { class: "muted" }, `and ${count(more)} more on your phone`)];
}
