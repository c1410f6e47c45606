// Fills what stands before and behind the node: client connections, backends, certificates, the last reload, and whom the mesh refuses.

import { $, cells, data, each, make, name, text, value } from "./dom.js";
import { bytes, count, ms, span, words } from "./format.js";

const ROWS_MAX = 12; // the worst first: who has more reads `meshcache stats --json`
export const ENDS_SOON_S = 14 * 86_400; // as `meshcache doctor`: one with two weeks left was forgotten

/** Show the part, or hide it for a program that tells nothing of a front. */
export function front(model) {
  const { front } = model.snapshot.stats;
  $("front").hidden = $("tile-open").hidden = !front;
  data($("tiles"), { tiles: front ? 6 : 5 });
  if (!front) return;
  backends(front);
  certificates(front);
  figures(model);
}

function backends({ backends = [] }) {
  const worst = [...backends].sort((a, b) => a.up - b.up || (a.vip + "\0" + a.backend < b.vip + "\0" + b.backend ? -1 : 1));
  $("backends").hidden = !worst.length;
  $("no-backends").hidden = worst.length > 0;
  each($("backends").tBodies[0], worst.slice(0, ROWS_MAX), () => make("tr"), (row, of) => {
    data(row, { backend: `${of.vip} ${of.backend}` });
    const [title, state, open, connects, failures, took] = cells(row, 6);
    name(title, of.backend, of.vip);
    text(state, of.weight === 0 ? "drained" : of.up ? "up" : "down");
    state.className = "state";
    data(state, { state: of.up ? "alive" : "lost" });
    const mean_ms = of.connects ? (1000 * of.connect_s) / of.connects : null;
    for (const [cell, shown, key] of [[open, count(of.open), "open"], [connects, count(of.connects), "connects"], [failures, count(of.failures), "failures"], [took, `${ms(mean_ms)} ms`, "connect_s"]]) {
      cell.className = "n";
      value(cell, shown, key, of[key]);
    }
    if (mean_ms === null) text(took, "");
    data(failures, { level: of.up ? null : "bad" });
  });
  more("backends-more", worst.length);
}

function certificates({ certificates = [] }) {
  const soonest = [...certificates].sort((a, b) => a.ends_in_s - b.ends_in_s);
  $("certificates").hidden = !soonest.length;
  each($("certificates").tBodies[0], soonest.slice(0, ROWS_MAX), () => make("tr"), (row, of) => {
    const [title, ends] = cells(row, 2);
    name(title, of.name || "no name", of.vip);
    ends.className = "n";
    value(ends, endsIn(of.ends_in_s), "ends_in_s", of.ends_in_s);
    data(ends, { level: of.ends_in_s <= 0 ? "bad" : of.ends_in_s < ENDS_SOON_S ? "warning" : null });
    data(row, { certificate: JSON.stringify([of.vip, of.name, soonest.indexOf(of)]) });
  });
  more("certificates-more", soonest.length);
}

/** Days are what a renewal is planned by; the last two are told more closely. */
export function endsIn(seconds) {
  if (seconds <= 0) return `${span(-seconds)} ago`;
  return seconds < 2 * 86_400 ? `in ${span(seconds)}` : `in ${count(Math.floor(seconds / 86_400))} days`;
}

function figures(model) {
  const { front } = model.snapshot.stats;
  const badly = Object.entries(front.ended_badly ?? {}).filter(([, n]) => n > 0);
  const all = [
    ["Last reload", reloadWords(front.reload), null, null, front.reload && !front.reload.ok ? "bad" : null],
    ...(front.backends?.length ? ["received", "sent"] : []).map((way) => [`${way === "sent" ? "Sent to" : "Received from"} clients`, bytes(total(front, way)), `front.bytes.${way}`, total(front, way)]),
    ...badly.map(([kind, n]) => [`Ended: ${words(kind)}`, count(n), `front.ended_badly.${kind}`, n]),
  ];
  each($("front-figures"), all, () => make("div", "", make("dt"), make("dd")), (box, [label, shown, key, exact, level]) => {
    text(box.children[0], label);
    value(box.children[1], shown, key, exact);
    data(box, { level });
  });
}

function total({ bytes = {} }, way) {
  return Object.values(bytes).reduce((sum, of) => sum + (of[way] ?? 0), 0);
}

function reloadWords(reload) {
  if (!reload) return "none yet";
  return reload.ok ? `${span(reload.age_s)} ago` : `failed ${span(reload.age_s)} ago`;
}

/** Of the last ten minutes; nothing is shown when everybody is heard. */
export function refusals({ refusals = [] }) {
  $("refusals").hidden = !refusals.length;
  each($("refused").tBodies[0], [...refusals].reverse().slice(0, ROWS_MAX), () => make("tr"), (row, of) => {
    data(row, { refusal: JSON.stringify([of.node, of.reason, of.by_peer]) });
    const [title, why, advice, times, last] = cells(row, 5);
    name(title, of.node, of.address);
    text(why, `${of.by_peer ? "refuses this node: " : ""}${of.text ?? words(of.reason)}`);
    text(advice, of.do ?? "");
    times.className = last.className = "n";
    value(times, count(of.count), "count", of.count);
    value(last, `${span(of.last_s)} ago`, "last_s", of.last_s);
  });
  more("refusals-more", refusals.length);
}

function more(id, n) {
  $(id).hidden = n <= ROWS_MAX;
  text($(id), `${n - ROWS_MAX} more: meshcache stats --json`);
}
