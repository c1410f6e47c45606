// Fills tiles, tables and lists from one snapshot; works nothing out that a chart or the verdict needs.

import { $, cells, data, each, make, name, text, value } from "./dom.js";
import { bytesOf, clock, count, ms, percent, rate, span, words } from "./format.js";
import { droppedLately } from "./verdict.js";

const MATRIX_MAX = 12; // sources and targets shown; more would not be read

const WHY = {
  allowed: "allowed",
  other_group: "other group",
  sender_reach: "out of reach",
  receiver_reach: "out of their reach",
  settings_differ: "settings differ",
  no_terms: "not served there",
};

export function head({ node }) {
  value($("node-name"), node.name, "node.name", node.name);
  const mesh = node.mesh ? ` · mesh ${node.mesh}` : "";
  text($("node-more"), ` in ${node.colo}${mesh} · up ${span(node.uptime_s)} · version ${node.version}${hotPath(node)}`);
}

/** Which code answers OpenSSL: handshakes cost more where no compiler was at the install. */
function hotPath({ hot_path: path }) {
  if (!path) return "";
  return path === "python" ? " · hot path in Python" : " · hot path in C";
}

export function verdict({ level, line, problems }) {
  data($("verdict"), { level });
  text($("verdict-line"), line);
  each($("verdict-list"), problems, () => make("li"), (line, { level: one, say }) => {
    text(line, say);
    data(line, { level: problems.length > 1 ? one : null });
  });
}

export function tiles(model) {
  const { stats } = model.snapshot;
  handshakeTiles(model);
  openTile(stats);
  membersTile(stats);
  const { p99, inter } = stats.gossip.lag_ms;
  tile("lag", ms(p99), "ms", lagWords(inter), ["gossip.lag_ms.p99", p99]);
  const { bytes: used, max_bytes, entries } = stats.cache;
  const level = used > 0.9 * max_bytes ? "warning" : null;
  tile("cache", percent(used, max_bytes), "%", `${count(entries)} sessions, ${bytesOf(used, max_bytes)}`, ["cache.bytes", used], level);
}

function lagWords({ p99 }) {
  return p99 == null ? "in this colo" : `in this colo; ${ms(p99)} ms between colos`;
}

function tile(id, number, unit, sub, [key, exact], level = null) {
  const box = $(`tile-${id}`);
  const [, big, small] = box.children;
  if (big.children.length === 0) big.replaceChildren(make("span"), make("small"));
  value(big.firstElementChild, number, key, exact);
  text(big.lastElementChild, unit);
  text(small, sub);
  data(box, { level });
}

/** Of the last minutes if there were handshakes, else since the start. */
function handshakeTiles(model) {
  const now = [0, 1, 2].map((i) => sum(Object.keys(model.points.at(-1).vips), (vip) => model.gained((point) => point.vips[vip]?.[i])));
  const ever = [0, 1, 2].map((i) => sum(Object.values(model.points.at(-1).vips), (vip) => vip[i]));
  const recent = now[0] + now[1] + now[2] > 0;
  const [full, local, peers] = recent ? now : ever;
  const all = full + local + peers;
  const when = recent ? "last 5 min" : "since the start";
  const none = "no handshake yet";
  tile("resumed", percent(local + peers, all), all ? "%" : "", all ? `of ${count(all)} handshakes, ${when}` : none, ["resumed", ever[1] + ever[2]]);
  const split = `of what resumed, ${when}`;
  tile("peers", percent(peers, local + peers), local + peers ? "%" : "", all ? split : none, ["from_peers", ever[2]]);
}

function openTile({ front, node }) {
  if (!front) return;
  const { open, max } = front.connections;
  const used = (front.backends ?? []).filter(({ weight }) => weight !== 0);
  const down = used.filter(({ up }) => !up).length;
  const behind = down ? `; ${down} of ${used.length} backends down` : used.length ? "; all backends up" : "";
  const level = !front.ready || open > 0.9 * max ? "warning" : null;
  tile("open", count(open), "open", `of ${count(max)}${front.ready ? behind : node.warm === false ? "; starting" : "; draining"}`, ["front.connections.open", open], level);
}

function membersTile({ peers, node }) {
  const alive = peers.filter(({ state }) => state === "alive").length + 1;
  const colos = new Set([node.colo, ...peers.map(({ colo }) => colo)]).size;
  const away = peers.length + 1 - alive;
  const where = colos === 1 ? "in one colo" : `in ${colos} colos`;
  tile("members", count(alive), `of ${peers.length + 1}`, away ? `${where}, ${away} not alive` : `${where}, all alive`, ["members", alive], away ? "bad" : null);
}

/** One body for each colo, this server's first, this server on top. */
export function members({ node, peers }) {
  const self = { name: node.name, colo: node.colo, state: "alive", self: true };
  const byColo = Map.groupBy([self, ...peers], ({ colo }) => colo);
  const colos = [...byColo.keys()].sort((a, b) => (a === node.colo ? -1 : b === node.colo ? 1 : a < b ? -1 : 1));
  const table = $("members");
  const bodies = colos.map((colo) => [colo, byColo.get(colo).sort((a, b) => (b.self ?? 0) - (a.self ?? 0) || (a.name < b.name ? -1 : 1))]);
  while (table.tBodies.length > bodies.length) table.tBodies[table.tBodies.length - 1].remove();
  while (table.tBodies.length < bodies.length) table.append(make("tbody"));
  bodies.forEach(([colo, rows], i) => each(table.tBodies[i], [{ colo, n: rows.length }, ...rows], () => make("tr"), memberRow));
}

function memberRow(row, member) {
  const title = member.n !== undefined;
  row.className = title ? "colo" : "";
  const [first, ...rest] = cells(row, title ? 1 : 5);
  first.colSpan = title ? 5 : 1;
  if (title) return name(first, member.colo, null);
  name(first, member.name, member.self ? "this server" : islandNote(member));
  data(first.lastElementChild, { level: member.islands?.length ? "warning" : null });
  data(row, { member: member.name });
  const [state, rtt, queue, heard] = rest;
  text(state, member.state);
  state.className = "state";
  data(state, { state: member.state });
  const numbers = [[rtt, `${ms(member.rtt_ms)} ms`, "rtt_ms"], [queue, count(member.queue), "queue"], [heard, `${span(member.last_seen_s)}`, "last_seen_s"]];
  for (const [cell, shown, key] of numbers) {
    cell.className = "n";
    value(cell, member[key] == null ? "" : shown, key, member[key]);
  }
}

function islandNote({ islands = [] }) {
  return islands.length ? `island: ${islands.map(({ group }) => group).join(", ")}` : null;
}

export function policy(model) {
  const ways = (model.snapshot.stats.policy?.crossings ?? []).filter((way) => way.now !== false);
  const sources = ends(ways, "from");
  const targets = ends(ways, "to");
  const at = new Map(ways.map((way) => [endKey(way, "from") + endKey(way, "to"), way]));
  const table = $("policy");
  const shown = targets.slice(0, MATRIX_MAX);
  each(table.tHead, shown.length ? [0] : [], () => make("tr"), (row) =>
    each(row, [null, ...shown], () => make("th"), (cell, end) => {
      cell.scope = "col";
      end ? name(cell, end.vip, end.colo) : name(cell, "from \\ to", null);
    }),
  );
  each(table.tBodies[0], sources.slice(0, MATRIX_MAX), () => make("tr"), (row, from) => {
    const [title, ...to] = cells(row, shown.length + 1);
    name(title, from.vip, from.colo);
    to.forEach((cell, i) => crossing(cell, at.get(from.key + shown[i].key), shown[i], model));
  });
  const hidden = Math.max(0, sources.length - MATRIX_MAX) + Math.max(0, targets.length - MATRIX_MAX);
  $("policy-more").hidden = hidden === 0;
  text($("policy-more"), `${hidden} more: meshcache policy show`);
}

function crossing(cell, way, to, model) {
  if (!cell.firstElementChild) cell.append(make("span"), make("span", "note"));
  const [what, why] = cell.children;
  data(cell, { to: `${to.vip} in ${to.colo}`, verdict: way?.verdict, key: way && "sessions", value: way?.sessions });
  cell.dataset.from = way ? `${way.from_vip}@${way.from_colo}` : "";
  text(what, way ? `${way.verdict === "allowed" ? "✓" : "✕"} ${rate(model.crossingRate(way))}/s` : "·");
  text(why, way ? (WHY[way.verdict] ?? words(way.verdict)) : "");
}

function ends(ways, side) {
  const found = new Map();
  for (const way of ways) found.set(endKey(way, side), { vip: way[`${side}_vip`], colo: way[`${side}_colo`], key: endKey(way, side) });
  return [...found.values()].sort((a, b) => (a.vip + "\0" + a.colo < b.vip + "\0" + b.colo ? -1 : 1));
}

function endKey(way, side) {
  return JSON.stringify([way[`${side}_vip`], way[`${side}_colo`]]);
}

export function cache({ vips }) {
  each($("cache").tBodies[0], Object.entries(vips), () => make("tr"), (row, [vip, of]) => {
    const [title, entries, memory, evicted] = cells(row, 4);
    name(title, vip, [of.group, of.reach && String(of.reach)].filter(Boolean).join(" · "));
    data(row, { vip });
    entries.className = evicted.className = "n";
    value(entries, count(of.entries), "entries", of.entries);
    value(evicted, count(of.sessions.evicted), "sessions.evicted", of.sessions.evicted);
    if (!memory.firstElementChild) memory.append(make("span"), make("div", "bar", make("i")));
    const [used, bar] = memory.children;
    const part = of.quota_bytes ? Math.min(1, of.bytes / of.quota_bytes) : 0;
    bar.firstElementChild.style.width = `${(100 * part).toFixed(1)}%`;
    data(bar, { level: part > 0.95 ? "warning" : null });
    value(used, bytesOf(of.bytes, of.quota_bytes), "bytes", of.bytes);
  });
}

export function gossip(model) {
  const {
    vips,
    gossip: { sent, received, repaired, relayed, dropped },
  } = model.snapshot.stats;
  const lately = new Set(droppedLately(model).map(([reason]) => reason));
  const twice = sum(Object.values(vips), ({ sessions }) => sessions.duplicate);
  const figures = [
    ["Sessions sent", sent.sessions, "gossip.sent.sessions"],
    ["Sessions received", received.sessions, "gossip.received.sessions"],
    ["Repaired", repaired, "gossip.repaired"],
    ["Relayed", relayed, "gossip.relayed"],
    ["Came twice", twice, "duplicate"],
    ...Object.entries(dropped).filter(([, n]) => n > 0).map(([reason, n]) => [`Dropped: ${words(reason)}`, n, `gossip.dropped.${reason}`, lately.has(reason) ? "bad" : null]),
  ];
  each($("gossip"), figures, () => make("div", "", make("dt"), make("dd")), (box, [label, n, key, level]) => {
    text(box.children[0], label);
    value(box.children[1], count(n), key, n);
    data(box, { level });
  });
}

export function events(list) {
  const newest = [...list].reverse();
  $("no-events").hidden = newest.length > 0;
  each($("events"), newest, () => make("li", "", make("time"), make("span")), (line, event) => {
    text(line.children[0], clock(event.x));
    text(line.children[1], event.text ?? [event.kind, event.node, event.colo].filter(Boolean).join(" "));
    data(line, { level: event.level, seq: event.seq });
  });
}

function sum(items, get) {
  return items.reduce((total, item) => total + (get(item) ?? 0), 0);
}
