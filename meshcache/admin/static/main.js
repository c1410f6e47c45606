// Keeps the page live: listens to the node, says when it is away, and redraws once a second.

import { Chart } from "./charts.js";
import { $, data, each, make, name, text } from "./dom.js";
import { count, ms, percent, rate, silence } from "./format.js";
import { front, refusals } from "./front.js";
import { Model } from "./model.js";
import * as panels from "./panels.js";
import { judge, judgeSilence } from "./verdict.js";

const AWAY_S = 4; // three snapshots missed
const RETRY_MS = 2000; // when the browser gave up by itself, as it does after a 503
const VIP_CHARTS_MAX = 12;
const UNANSWERED = { level: "bad", line: "No answer yet", problems: [{ say: "The node doesn’t answer, or has as many viewers as it takes." }] };

const model = new Model();
let source = null;
let heard = null;
const opened = performance.now();
let version = null;

const LOOKUPS = [
  ["remote", "from another server", "blue"],
  ["local", "from this server", "teal"],
  ["pulled", "pulled", "violet", true],
  ["miss", "not found", "grey"],
  ["expired", "expired", "soft", true],
  ["refused", "refused", "amber", true],
  ["hit_not_resumed", "found, not resumed", "red", true],
];

const lookups = new Chart(
  $("chart-lookups"), $("legend-lookups"),
  LOOKUPS.map(([key, label, colour, quiet]) => ({ label, colour, quiet, area: key === "remote", trouble: key === "hit_not_resumed" })),
  rate, { name: "Lookups a second:", heads: ["a second", "since the start"] },
);
const lag = new Chart(
  $("chart-lag"), $("legend-lag"),
  [
    { label: "in this colo, median", colour: "teal" },
    { label: "in this colo, p99", colour: "teal", dash: true },
    { label: "between colos, median", colour: "blue" },
    { label: "between colos, p99", colour: "blue", dash: true },
  ],
  (n) => (n == null ? "–" : `${ms(n)} ms`), { name: "Lag:", log: true, tick: (n) => `${n} ms` },
);
const traffic = new Chart(
  $("chart-gossip"), $("legend-gossip"),
  [{ label: "sent", colour: "blue" }, { label: "received", colour: "teal" }],
  (n) => rate(n), { name: "Gossip, KiB a second:" },
);
const vipCharts = [];

function draw() {
  const { stats, events } = model.snapshot;
  panels.head(stats);
  panels.tiles(model);
  panels.members(stats);
  panels.policy(model);
  panels.cache(stats);
  panels.gossip(model);
  panels.events(events);
  front(model);
  refusals(stats);
  drawVips(stats);
  drawCharts(stats);
  data(document.body, { uptime: stats.node.uptime_s });
}

/** The tab's own line, for who has it in the background. */
function title(link) {
  const { stats } = model.snapshot;
  const what = link === "away" ? "no answer" : `${$("tile-resumed").querySelector(".big").textContent} resumed`;
  document.title = `${what} · ${stats.node.name} · meshcache`;
}

function drawCharts(stats) {
  const totals = model.points.at(-1).lookups;
  lookups.update(
    model.rates(...LOOKUPS.map(([key]) => (point) => point.lookups[key])), model.window,
    LOOKUPS.map(([key]) => [count(totals[key]), `lookups.${key}`, totals[key]]),
  );
  lag.update(model.values(...["intra", "inter"].flatMap((way) => [0, 1].map((i) => (point) => point.lag_ms[way][i]))), model.window);
  traffic.update(model.rates((point) => point.bytes[0] / 1024, (point) => point.bytes[1] / 1024), model.window);
}

/** A chart for each VIP, the busiest first if there are too many. */
function drawVips(stats) {
  const all = Object.keys(stats.vips);
  const busy = (vip) => model.points.at(-1).vips[vip].reduce((a, b) => a + b, 0);
  const shown = all.length > VIP_CHARTS_MAX ? all.sort((a, b) => busy(b) - busy(a)).slice(0, VIP_CHARTS_MAX) : all;
  while (vipCharts.length > shown.length) vipCharts.pop().close();
  each($("vips"), shown, vipCard, (card, vip) => drawVip(card, vip, stats));
  $("vips-more").hidden = shown.length === all.length;
  text($("vips-more"), `${all.length - shown.length} quieter VIPs are in the cache table.`);
}

function vipCard() {
  return make("div", "", make("h3", "", make("div"), make("span")), make("div", "chart"), make("ul", "legend"));
}

function drawVip(card, vip, stats) {
  const at = [...card.parentNode.children].indexOf(card);
  const [title, box, legend] = card.children;
  const { full, local, remote, pulled, failed } = stats.vips[vip].handshakes;
  const resumed = local + remote + pulled;
  name(title.firstElementChild, vip, null);
  text(title.lastElementChild, `${percent(resumed, full + resumed)} % resumed since the start${failed ? `, ${count(failed)} failed` : ""}`);
  data(card, { vip });
  const series = [{ label: "resumed", colour: "blue", area: true }, { label: "full", colour: "grey" }];
  vipCharts[at] ??= new Chart(box, legend, series, rate, { name: "Handshakes a second:" });
  vipCharts[at].update(
    model.rates((point) => resumedOf(point.vips[vip]), (point) => point.vips[vip]?.[0]), model.window,
    [[`${count(resumed)} in all`, "handshakes.resumed", resumed], [`${count(full)} in all`, "handshakes.full", full]],
  );
}

function resumedOf(handshakes) {
  return handshakes && handshakes[1] + handshakes[2];
}

function listen() {
  source?.close();
  source = new EventSource("/v1/stream");
  source.addEventListener("history", ({ data: body }) => model.history(JSON.parse(body).points));
  source.addEventListener("snapshot", ({ data: body }) => {
    model.add(JSON.parse(body));
    heard = performance.now();
    reloadIfNew(model.snapshot.stats.node.version);
    draw();
    tick();
  });
  source.addEventListener("error", ({ target }) => {
    if (target.readyState === EventSource.CLOSED && target === source) setTimeout(() => target === source && listen(), RETRY_MS);
    tick();
  });
}

/** A restart may have brought another version, whose page this isn't. */
function reloadIfNew(now) {
  if (version !== null && version !== now) location.reload();
  version = now;
}

/** Whether the node is heard, said in the corner, in the verdict and in the tab's title: old numbers must never look well. */
function tick() {
  const now = performance.now();
  const silent_s = (now - (heard ?? opened)) / 1000;
  const open = source?.readyState === EventSource.OPEN;
  const link = heard === null ? "connecting" : open && silent_s < AWAY_S ? "live" : "away";
  data(document.body, { link });
  text($("link"), said(link, silent_s));
  if (heard === null) return silent_s < AWAY_S ? undefined : panels.verdict(UNANSWERED);
  panels.verdict(link === "away" ? judgeSilence(model) : judge(model));
  title(link);
}

function said(link, silent_s) {
  if (link === "live") return "Live";
  if (link === "connecting" && silent_s < AWAY_S) return "Connecting…";
  return `No answer for ${silence(silent_s)}, trying again`;
}

// A hidden page gives its place to others; the node's history fills the hole when it is seen again.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    source?.close();
    source = null;
  } else if (!source) listen();
});

setInterval(tick, 1000);
listen();
