// Says in words what an operator should know first; reads numbers, never the page.

import { clock, count, span, words } from "./format.js";
import { ENDS_SOON_S, endsIn } from "./front.js";

const LISTED_MAX = 8;
const DROPPED_FEW = 10; // of a reason within the window: a few messages cross with a hello or a restart
const UNSENT = new Set(["not_sent", "peer_blocked"]); // what a member that is away can't be sent is no trouble of its own

/** {level, line, problems}: level is good, quiet, warning or bad; problems are {level, say}, worst first. */
export function judge(model) {
  const { stats } = model.snapshot;
  const mesh = [...lost(stats), ...islands(stats), ...refused(stats), ...notResumed(model), ...dropped(model), ...evicted(model)];
  const problems = [...around(stats), ...faults(stats), ...hooks(stats), ...mesh];
  problems.sort((a, b) => (a.level === "bad" ? 0 : 1) - (b.level === "bad" ? 0 : 1));
  if (problems.length) return { level: problems[0].level, line: heading(problems), problems: shorten(problems) };
  const members = stats.peers.length + 1;
  if (members === 1) return { level: "quiet", line: "No other member yet: sessions stay on this server.", problems: [] };
  const behind = stats.front?.backends?.length ? " every backend is up," : "";
  return { level: "good", line: `All well: ${members} members,${behind} nothing dropped in the last minutes, every session found was resumed.`, problems: [] };
}

/** The same while nothing is heard: whatever was well may have ended since. It doesn't count up, or it would be read out each second. */
export function judgeSilence(model) {
  const { node } = model.snapshot.stats;
  const then = clock(model.points.at(-1).x);
  return {
    level: "bad",
    line: `No answer from ${node.name} since ${then}`,
    problems: [{ say: "Everything below is from then. This page goes on asking; whether the server still serves, it can’t tell." }],
  };
}

/** What stands before and behind the node. */
function around({ front, node }) {
  return front ? [...backendsDown(front), ...certificatesEnd(front), ...reloadFailed(front), ...full(front, node)] : [];
}

function backendsDown({ backends = [] }) {
  const used = backends.filter(({ weight }) => weight !== 0); // nobody goes to one that is drained
  const alive = new Set(used.filter(({ up }) => up).map(({ vip }) => vip));
  return used.filter(({ up }) => !up).map(({ vip, backend }) => ({
    level: "bad",
    say: `Backend ${backend} of ${vip} is down${alive.has(vip) ? ": its clients get another one" : ", and no other is up"}.`,
  }));
}

function certificatesEnd({ certificates = [] }) {
  return certificates.filter(({ ends_in_s }) => ends_in_s < ENDS_SOON_S).map(({ vip, name, ends_in_s }) => ({
    level: ends_in_s <= 0 ? "bad" : "warning",
    say: `The certificate of ${vip} for ${name || "no name"} ${ends_in_s <= 0 ? "ended" : "ends"} ${endsIn(ends_in_s)}.`,
  }));
}

function reloadFailed({ reload }) {
  if (!reload || reload.ok) return [];
  const first = reload.faults?.[0];
  return [{ level: "warning", say: `The last reload failed ${span(reload.age_s)} ago and changed nothing${first ? `: ${first}` : "."}` }];
}

function full({ ready, connections: { open, max } }, { warm }) {
  if (ready === false && warm === false) return [{ level: "warning", say: "The server starts: it waits for its peers’ sessions, and takes no connections yet." }];
  if (ready === false) return [{ level: "warning", say: "The server takes no new connections: it is stopping." }];
  return open > 0.9 * max ? [{ level: "warning", say: `${count(open)} connections of ${count(max)} are open: more are closed at once.` }] : [];
}

function refused({ refusals = [] }) {
  return refusals.map(({ node, by_peer, reason, text = words(reason) }) => ({
    level: "warning",
    say: by_peer ? `${node} doesn’t hear this node, which ${text}.` : `${node} isn’t heard: it ${text}.`,
  }));
}

function heading(problems) {
  return problems.length === 1 ? "One thing needs a look" : `${problems.length} things need a look`;
}

function shorten(problems) {
  const rest = problems.length - LISTED_MAX;
  const shown = problems.slice(0, LISTED_MAX);
  return rest > 0 ? [...shown, { say: `and ${rest} more` }] : shown;
}

function lost({ peers }) {
  const away = peers.filter(({ state }) => state !== "alive");
  return away.map(({ name, colo, state, last_seen_s }) => ({
    level: state === "lost" ? "bad" : "warning",
    say: `${name} in ${colo} is ${state}: last heard ${span(last_seen_s)} ago. Its sessions that are already here still resume.`,
  }));
}

function islands({ peers }) {
  return peers.flatMap(({ name, colo, islands = [] }) =>
    islands.map(({ group, differs }) => ({
      level: "bad",
      say: `${name} in ${colo} has other settings for group ${group}${differs ? ` (${words(differs)})` : ""}: nothing of that group is shared with it.`,
    })),
  );
}

/** Exceptions at the TLS edge: none should ever be. */
function faults({ faults = {} }) {
  return Object.entries(faults).flatMap(([vip, of]) => Object.entries(of).filter(([, n]) => n > 0).map(([callback, n]) => ({
    level: "bad",
    say: `${words(callback)} of ${vip} failed ${count(n)} times since the start, each a full handshake: please report it, with the log.`,
  })));
}

/** An operator's own hooks that aren't loaded, or that rest after they failed. */
function hooks({ hooks = [] }) {
  return hooks.filter(({ resting, counts = {} }) => resting || counts.not_loaded).map(({ name, kind, last_fault, counts = {} }) => ({
    level: kind === "policy" ? "bad" : "warning",
    say: `The ${kind} hook ${name} ${counts.not_loaded ? "isn’t loaded" : "rests after it failed"}${kind === "policy" ? ", so whatever it is asked is refused" : ""}: ${last_fault}`,
  }));
}

function notResumed(model) {
  const n = model.gained((point) => point.lookups.hit_not_resumed);
  return n ? [{ level: "bad", say: `${count(n)} sessions were found and still not resumed in the last minutes: these clients paid twice.` }] : [];
}

/** [reason, how many] of what was dropped in the last minutes and should not have been. */
export function droppedLately(model) {
  const away = model.snapshot.stats.peers.some(({ state }) => state !== "alive");
  const reasons = Object.keys(model.points.at(-1).dropped).filter((reason) => !(away && UNSENT.has(reason)));
  return reasons.map((reason) => [reason, model.gained((point) => point.dropped[reason])]).filter(([, n]) => n > DROPPED_FEW);
}

function dropped(model) {
  const found = droppedLately(model);
  const listed = found.map(([reason, n]) => `${words(reason)} ${count(n)}`).join(", ");
  return found.length ? [{ level: "warning", say: `Gossip was dropped in the last minutes: ${listed}.` }] : [];
}

function evicted(model) {
  const n = model.gained((point) => point.evicted);
  return n ? [{ level: "warning", say: `${count(n)} sessions were evicted before their time in the last minutes: a quota is too small.` }] : [];
}
