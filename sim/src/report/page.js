"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const canvas = $("canvas"), pen = canvas.getContext("2d"), tip = $("tip");

const LEFT = 76, LANE = 92, RIGHT = 14, CHART = 74, GAP = 30, BAND = 16;
const PHASES = {
  draft: "#98a2b3", lobby: "#7c93b8", intro: "#6aa5d8", open: "#2e9e6b", closed: "#d6a521",
  tallies: "#cf7f2c", reveal: "#a35fc4", board: "#6c63c7", ended: "#7d8590", aborted: "#c0342b",
};
const INKS = ["#3b7dd8", "#2e9e6b", "#a35fc4", "#cf7f2c", "#c2488b", "#128a9e", "#8a7a1f", "#7d8590"];

const kindOf = (flight) => flight[5].split(/[ :]/)[0] || "message";
const kinds = [...new Set(data.flights.map(kindOf))].sort();
const shown = new Set(kinds);
const inkOf = (kind) => INKS[kinds.indexOf(kind) % INKS.length];
const nodes = Array.from({ length: data.nodes }, (_, at) => at + 1);
const last = Math.max(1, data.length_ms ?? 0, ...data.story.map(([at]) => at));
const view = { from: 0, to: last };
let places = [];

/** Faults in rows, those that overlap below each other. */
const bands = [];
const rowEnds = [];
for (const [from, to, what, touched] of data.faults) {
  const end = to ?? Math.min(last, from + 150);
  let row = rowEnds.findIndex((free) => free <= from);
  if (row < 0) row = rowEnds.length;
  rowEnds[row] = end;
  bands.push({ from, end, what, row, hit: touched ?? nodes });
}
const TOP = 34 + rowEnds.length * BAND;

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const width = () => canvas.clientWidth;
const inner = () => Math.max(50, width() - LEFT - RIGHT);
const x = (ms) => LEFT + ((ms - view.from) / (view.to - view.from)) * inner();
const timeAt = (px) => view.from + ((px - LEFT) / inner()) * (view.to - view.from);
const laneTop = (node) => TOP + (node - 1) * LANE;
const lineOf = (node) => laneTop(node) + 44;
const chartTop = (n) => TOP + nodes.length * LANE + GAP + n * (CHART + GAP);
const height = () => chartTop(2) + 4;
const seconds = (ms) => (ms / 1000).toFixed(view.to - view.from < 2000 ? 3 : 1) + " s";

function box(from, to, top, tall, fill) {
  const a = Math.max(LEFT, x(from)), b = Math.min(LEFT + inner(), x(to));
  if (b < a) return;
  pen.fillStyle = fill;
  pen.fillRect(a, top, Math.max(1, b - a), tall);
}

function text(words, at, top, ink, align = "left", size = 11) {
  pen.fillStyle = ink;
  pen.textAlign = align;
  pen.font = `${size}px system-ui, sans-serif`;
  pen.fillText(words, at, top);
}

function ticks() {
  const span = view.to - view.from;
  const step = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 60000]
    .find((ms) => (ms / span) * inner() > 70) ?? 60000;
  for (let at = Math.ceil(view.from / step) * step; at <= view.to; at += step) {
    pen.fillStyle = css("--rule");
    pen.fillRect(x(at), TOP - 6, 1, height() - TOP);
    text(step < 1000 ? (at / 1000).toFixed(step < 10 ? 3 : 2) : at / 1000, x(at), TOP - 10, css("--soft"), "center");
  }
}

function faults() {
  for (const { from, end, what, row, hit } of bands) {
    pen.globalAlpha = 0.13;
    for (const node of hit) box(from, end, laneTop(node) + 2, LANE - 4, css("--band"));
    pen.globalAlpha = 0.85;
    const top = 4 + row * BAND, a = Math.max(LEFT, x(from)), b = Math.min(LEFT + inner(), x(end));
    box(from, end, top, BAND - 3, css("--band"));
    pen.globalAlpha = 1;
    if (b - a > 30) words(what, a + 4, top + 10, b - a - 6);
    places.push({ from, to: end, top, tall: BAND - 1, what });
  }
}

/** As much of a text as there is room for. */
function words(what, at, top, room) {
  pen.save();
  pen.beginPath();
  pen.rect(at, top - 12, room, 16);
  pen.clip();
  text(what, at, top, "#fff", "left", 10);
  pen.restore();
}

/** Without a sample for so long a node takes no part. */
const PAUSE_MS = 1100;

/** Runs of one value, so that thousands of samples are a few boxes. */
function runs(rows, value) {
  const found = [];
  for (const row of rows) {
    const now = value(row), before = found[found.length - 1];
    const gap = before && row[0] - before.seen > PAUSE_MS;
    if (gap) before.to = before.seen + 250;
    if (before && before.value === now && !gap) before.to = before.seen = row[0];
    else {
      if (before && !gap) before.to = row[0];
      found.push({ from: row[0], to: row[0] + 250, seen: row[0], value: now, row });
    }
  }
  return found;
}

function lane(node) {
  const top = laneTop(node), soft = css("--soft");
  text(`node ${node}`, 12, lineOf(node) + 4, css("--ink"), "left", 13);
  const steps = data.stages.filter((row) => row[1] === node);
  steps.forEach(([at, , instance, phase, life], n) => {
    const down = data.outages.find(([who, since]) => who === node && since > at);
    const next = steps[n + 1]?.[0] ?? last;
    const left = data.let_go.find(([who, since]) => who === node && since >= at)?.[1] ?? next;
    const to = Math.min(next, left, down && steps[n + 1]?.[4] !== life ? down[1] : next);
    box(at, to, top + 8, 12, PHASES[phase] ?? "#888");
    const room = Math.min(x(to), LEFT + inner()) - Math.max(x(at), LEFT);
    const words = instance > 1000 ? phase : `${phase} ${instance}`;
    if (room > words.length * 6.4) text(words, Math.max(x(at), LEFT) + 4, top + 18, "#fff", "left", 10);
    places.push({ from: at, to, top: top + 8, tall: 12, what: `node ${node} shows ${words} at ${seconds(at)}` });
  });
  pen.fillStyle = soft;
  pen.fillRect(LEFT, lineOf(node), inner(), 1);
  const mine = data.samples.filter((row) => row[1] === node);
  for (const { from, to, value, row } of runs(mine, (row) => row[3].join())) {
    const peers = new Set(row[3]);
    nodes.filter((peer) => peer !== node).forEach((peer, at) => {
      const tall = Math.min(4, 14 / nodes.length);
      if (peers.has(peer)) box(from, to, top + 64 + at * (tall + 1), tall, soft);
    });
    const sees = value ? `sees ${value.replaceAll(",", ", ")}` : "sees nobody";
    places.push({ from, to, top: top + 62, tall: 16, what: `node ${node} ${sees}` });
  }
  const most = Math.max(1, ...data.samples.map((row) => row[2]));
  for (const { from, to, value } of runs(mine, (row) => row[2])) {
    if (!value) continue;
    pen.globalAlpha = 0.25 + 0.75 * Math.sqrt(value / most);
    box(from, to, top + LANE - 12, 5, css("--lack"));
    pen.globalAlpha = 1;
    places.push({ from, to, top: top + LANE - 14, tall: 9, what: `node ${node} lacks ${value} entries` });
  }
  for (const [at, , instance, status, answered] of data.results.filter((row) => row[1] === node)) {
    if (at < view.from || at > view.to) continue;
    pen.fillStyle = { final: css("--good"), settled: "#d6a521" }[status] ?? css("--bad");
    pen.beginPath();
    pen.arc(x(at), top + 28, 4, 0, 7);
    pen.fill();
    const what = `node ${node} calls question ${instance} ${status} with ${answered} answers`;
    places.push({ from: at, to: at, top: top + 22, tall: 12, what, point: true });
  }
  for (const [who, from, to, crashed] of data.outages) {
    if (who !== node) continue;
    box(from, to ?? last, top + 4, LANE - 8, css("--paper"));
    pen.globalAlpha = 0.16;
    box(from, to ?? last, top + 4, LANE - 8, css("--ink"));
    pen.globalAlpha = 1;
    const middle = (Math.max(x(from), LEFT) + Math.min(x(to ?? last), LEFT + inner())) / 2;
    const how = crashed ? "down" : to == null ? "gone" : "stopped";
    if (x(to ?? last) - x(from) > 44 && middle > LEFT) text(how, middle, lineOf(node) - 6, css("--ink"), "center");
  }
}

function flights() {
  const visible = data.flights.filter((flight) =>
    flight[1] >= view.from && flight[0] <= view.to && shown.has(kindOf(flight)));
  pen.globalAlpha = Math.min(0.9, Math.max(0.05, 900 / visible.length));
  pen.lineWidth = visible.length < 900 ? 1.4 : 1;
  for (const flight of visible) {
    const [sent, ended, from, to, arrived] = flight;
    const a = [x(sent), lineOf(from)];
    let b = [x(ended), lineOf(to)];
    if (!arrived) b = [a[0] + Math.max(6, (b[0] - a[0]) / 2), (a[1] + b[1]) / 2];
    pen.strokeStyle = arrived ? inkOf(kindOf(flight)) : css("--bad");
    pen.setLineDash(arrived ? [] : [3, 3]);
    pen.beginPath();
    pen.moveTo(...a);
    pen.lineTo(...b);
    if (!arrived) {
      pen.moveTo(b[0] - 3, b[1] - 3); pen.lineTo(b[0] + 3, b[1] + 3);
      pen.moveTo(b[0] + 3, b[1] - 3); pen.lineTo(b[0] - 3, b[1] + 3);
    } else if (visible.length < 900) head(a, b);
    pen.stroke();
  }
  pen.setLineDash([]);
  pen.globalAlpha = 1;
  return visible;
}

function head(a, b) {
  const turn = Math.atan2(b[1] - a[1], b[0] - a[0]);
  for (const side of [-0.4, 0.4]) {
    pen.moveTo(...b);
    pen.lineTo(b[0] - 7 * Math.cos(turn + side), b[1] - 7 * Math.sin(turn + side));
  }
}

function chart(n, title, rows, lines) {
  const top = chartTop(n), most = Math.max(1, ...rows.flatMap((row) => lines.map((line) => line.of(row) ?? 0)));
  box(view.from, view.to, top, CHART, css("--lane"));
  text(title, LEFT, top - 7, css("--ink"), "left", 12);
  text(String(most), LEFT - 6, top + 10, css("--soft"), "right");
  text("0", LEFT - 6, top + CHART, css("--soft"), "right");
  pen.save();
  pen.beginPath();
  pen.rect(LEFT, top - 2, inner(), CHART + 4);
  pen.clip();
  for (const { of, ink } of lines) {
    pen.strokeStyle = ink;
    pen.lineWidth = 1.5;
    pen.beginPath();
    let before = null;
    for (const row of rows) {
      const value = of(row);
      if (value === undefined) continue;
      const at = [x(row[0]), top + CHART - (value / most) * (CHART - 6)];
      if (before) { pen.lineTo(at[0], before[1]); pen.lineTo(...at); } else pen.moveTo(...at);
      before = at;
    }
    pen.stroke();
  }
  pen.restore();
}

function draw() {
  const scale = devicePixelRatio || 1;
  canvas.style.width = "100%";
  canvas.style.height = height() + "px";
  canvas.width = canvas.clientWidth * scale;
  canvas.height = height() * scale;
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  places = [];
  pen.fillStyle = css("--paper");
  pen.fillRect(0, 0, width(), height());
  nodes.forEach((node) => box(view.from, view.to, laneTop(node) + 2, LANE - 4, css("--lane")));
  ticks();
  pen.save();
  pen.beginPath();
  pen.rect(LEFT, 0, inner(), height());
  pen.clip();
  const visible = flights();
  pen.restore();
  nodes.forEach(lane);
  faults();
  chart(0, "entries that each node lacks", data.samples, nodes.map((node, at) => (
    { of: (row) => (row[1] === node ? row[2] : undefined), ink: INKS[at % INKS.length] })));
  chart(1, "receipts each quarter of a second: firm, and provisional", data.receipts, [
    { of: (row) => row[1], ink: css("--good") }, { of: (row) => row[2], ink: css("--lack") }]);
  $("range").textContent = `${seconds(view.from)} to ${seconds(view.to)}, ${visible.length} messages`;
}

function zoom(factor, around = (view.from + view.to) / 2) {
  const span = Math.min(last, Math.max(5, (view.to - view.from) * factor));
  const share = (around - view.from) / (view.to - view.from);
  move(around - span * share, span);
}

function move(from, span = view.to - view.from) {
  view.from = Math.min(Math.max(0, from), last - span);
  view.to = view.from + span;
  tip.hidden = true;
  history.replaceState(null, "", `#${Math.round(view.from)}-${Math.round(view.to)}`);
  draw();
}

/** A link to a part of a run names its milliseconds. */
function follow() {
  const [, from, to] = location.hash.match(/^#(\d+)-(\d+)$/) ?? [];
  if (Number(to) > Number(from)) move(Number(from), Math.min(last, Math.max(5, to - from)));
  else draw();
}

function nearest(px, py) {
  const at = timeAt(px), near = 6 / inner() * (view.to - view.from);
  const place = places.findLast((it) => py >= it.top && py <= it.top + it.tall &&
    at >= it.from - (it.point ? near : 0) && at <= it.to + (it.point ? near : 0));
  if (place) return place.what;
  let best = null, reach = 7;
  for (const flight of data.flights) {
    const [sent, ended, from, to, arrived, what] = flight;
    if (ended < at - near * 4 || sent > at + near * 4 || !shown.has(kindOf(flight))) continue;
    const [ax, ay, bx, by] = [x(sent), lineOf(from), x(ended), lineOf(to)];
    const long = (bx - ax) ** 2 + (by - ay) ** 2 || 1;
    const t = Math.min(1, Math.max(0, ((px - ax) * (bx - ax) + (py - ay) * (by - ay)) / long));
    const away = Math.hypot(px - ax - t * (bx - ax), py - ay - t * (by - ay));
    if (away < reach) {
      reach = away;
      best = `${from} to ${to}, ${seconds(sent)}, ${arrived ? (ended - sent).toFixed(2) + " ms" : "lost"}: ${what}`;
    }
  }
  return best;
}

let held = null;
canvas.addEventListener("wheel", (event) => {
  event.preventDefault();
  if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
    move(view.from + (event.deltaX / inner()) * (view.to - view.from));
  } else zoom(Math.exp(event.deltaY * 0.0015), timeAt(event.offsetX));
}, { passive: false });
canvas.addEventListener("pointerdown", (event) => {
  held = { px: event.offsetX, from: view.from };
  canvas.classList.add("held");
  canvas.setPointerCapture(event.pointerId);
});
canvas.addEventListener("pointerup", () => { held = null; canvas.classList.remove("held"); });
canvas.addEventListener("pointermove", (event) => {
  if (held) return move(held.from - ((event.offsetX - held.px) / inner()) * (view.to - view.from));
  const what = nearest(event.offsetX, event.offsetY);
  tip.hidden = !what;
  if (!what) return;
  tip.textContent = what;
  tip.style.left = Math.min(event.offsetX + 14, width() - 260) + "px";
  tip.style.top = event.offsetY + 16 + "px";
});
canvas.addEventListener("pointerleave", () => { tip.hidden = true; });
addEventListener("keydown", (event) => {
  const step = (view.to - view.from) / 8;
  const keys = {
    "+": () => zoom(0.5), "=": () => zoom(0.5), "-": () => zoom(2), 0: () => move(0, last),
    ArrowLeft: () => move(view.from - step), ArrowRight: () => move(view.from + step),
  };
  keys[event.key]?.();
});
$("in").onclick = () => zoom(0.5);
$("out").onclick = () => zoom(2);
$("all").onclick = () => move(0, last);

/** Stages as people say them. */
function plain(what) {
  return what.replace(/StageView \{ instance: (\d+), phase: (\w+) \}/g, (_, instance, phase) =>
    phase.toLowerCase() + (instance > 1000 ? "" : ` ${instance}`));
}

function fill() {
  const title = `Seed ${data.seed}, ${data.fidelity.toLowerCase()} fidelity`;
  document.title = title;
  document.querySelector("h1").textContent = title;
  const bad = data.violations.length;
  $("verdict").textContent = bad ? `${bad} promises were not kept` : "every promise was kept";
  $("verdict").className = bad ? "bad" : "good";
  for (const what of data.violations.slice(0, 12)) {
    $("broken").append(Object.assign(document.createElement("p"), { textContent: what }));
  }
  $("schedule").textContent = data.schedule;
  for (const [at, what] of data.story) {
    const item = document.createElement("li"), button = document.createElement("button");
    button.append(Object.assign(document.createElement("time"), { textContent: (at / 1000).toFixed(3) }), plain(what));
    button.onclick = () => move(at - 250, Math.min(last, 1000));
    item.append(button);
    $("story").append(item);
  }
  for (const kind of kinds) {
    const label = document.createElement("label"), tick = document.createElement("input"), ink = document.createElement("i");
    Object.assign(tick, { type: "checkbox", checked: true });
    ink.style.background = inkOf(kind);
    tick.onchange = () => { if (tick.checked) shown.add(kind); else shown.delete(kind); draw(); };
    label.append(tick, ink, kind);
    $("kinds").append(label);
  }
  const thinned = data.stride > 1 ? ` One in ${data.stride} messages is drawn.` : "";
  $("legend").textContent = "Each lane from top to bottom: the stage that the node shows; dots where it calls a " +
    "result final, settled or partial; its line, with messages from and to it; a stroke for each peer it sees; " +
    "amber where it lacks entries. Red: what goes wrong, and messages that were lost." + thinned;
}

fill();
follow();
new ResizeObserver(draw).observe(canvas.parentElement);
