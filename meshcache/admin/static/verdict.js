// Says in words what an operator should know first; reads numbers, never the page.

import { count, span, words } from "./format.js";

const LISTED_MAX = 8;
const DROPPED_FEW = 10; // of a reason within the window: a few messages cross with a hello or a restart
const UNSENT = new Set(["not_sent", "peer_blocked"]); // what a member that is away can't be sent is no trouble of its own

/** {level, line, problems}: level is good, quiet, warning or bad; problems are sentences, worst first. */
export function judge(model) {
  const { stats } = model.snapshot;
  const problems = [...lost(stats), ...islands(stats), ...notResumed(model), ...dropped(model), ...evicted(model)];
  problems.sort((a, b) => (a.level === "bad" ? 0 : 1) - (b.level === "bad" ? 0 : 1));
  if (problems.length) return { level: problems[0].level, line: heading(problems), problems: shorten(problems) };
  const members = stats.peers.length + 1;
  if (members === 1) return { level: "quiet", line: "No other member yet: sessions stay on this server.", problems: [] };
  return { level: "good", line: `All well: ${members} members, nothing dropped in the last minutes, every session found was resumed.`, problems: [] };
}

function heading(problems) {
  return problems.length === 1 ? "One thing needs a look" : `${problems.length} things need a look`;
}

function shorten(problems) {
  const rest = problems.length - LISTED_MAX;
  const shown = problems.slice(0, LISTED_MAX).map(({ say }) => say);
  return rest > 0 ? [...shown, `and ${rest} more`] : shown;
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
