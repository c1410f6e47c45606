// Remembers the last minutes of one node and works out rates; draws nothing.

const HISTORY_S = 300;
const SPAN_S_MIN = 60; // a node that has just started isn't drawn as a sliver at the edge
const SMOOTH_S = 5; // a rate is over this long: shorter jumps about, longer hides a burst
const GAP_S = 15; // no reading for longer than this is drawn as a gap

export class Model {
  points = []; // oldest first, each with `x`, seconds on this browser's clock
  recent = []; // the last seconds of crossings: [x, Map of way to sessions]
  snapshot = null;
  #base = 0;

  /** The node's own history replaces ours as far back as it goes; what was before a restart stays, behind a gap. */
  history(points) {
    if (!points.length) return;
    this.#base = Date.now() / 1000 - points.at(-1).at;
    const fresh = points.map((point) => ({ ...point, x: this.#base + point.at }));
    this.points = this.points.filter((point) => point.x < fresh[0].x - 0.5).concat(fresh);
    this.recent = [];
  }

  add({ stats, point, events }) {
    if (!this.points.length) this.#base = Date.now() / 1000 - point.at;
    const x = this.#base + point.at;
    this.snapshot = { stats, events: events.map((event) => ({ ...event, x: this.#base + event.at_s })) };
    if (!(this.points.length && this.points.at(-1).x >= x)) this.points.push({ ...point, x });
    while (this.points[0].x < x - HISTORY_S - SMOOTH_S) this.points.shift();
    this.recent.push([x, new Map((stats.policy?.crossings ?? []).map((way) => [wayKey(way), way.sessions]))]);
    while (this.recent[0][0] < x - SMOOTH_S - 0.5) this.recent.shift();
  }

  get window() {
    const now = this.points.at(-1)?.x ?? Date.now() / 1000;
    const first = this.points[0]?.x ?? now;
    return [Math.max(now - HISTORY_S, Math.min(first, now - SPAN_S_MIN)), now];
  }

  /** Columns for a chart: times, then for each function the value at each point. */
  values(...of) {
    return this.#columns(of.map((get) => (i) => get(this.points[i]) ?? null));
  }

  /** The same for counters: what each gained a second. */
  rates(...of) {
    return this.#columns(of.map((get) => (i) => this.#rate(get, i)));
  }

  /** What a counter gained within the window that charts show, over restarts. */
  gained(get) {
    let sum = 0;
    for (let i = 1; i < this.points.length; i++) sum += Math.max(0, step(get, this.points[i - 1], this.points[i]));
    return sum;
  }

  crossingRate(way) {
    const [from, to] = [this.recent[0], this.recent.at(-1)];
    if (!from || to[0] - from[0] < 0.5) return null;
    const key = wayKey(way);
    return Math.max(0, to[1].get(key) - (from[1].get(key) ?? 0)) / (to[0] - from[0]);
  }

  #rate(get, i) {
    const to = this.points[i];
    let j = i;
    while (j > 0 && to.x - this.points[j].x < SMOOTH_S - 0.1) {
      if (this.points[j - 1].at > this.points[j].at || this.points[j].x - this.points[j - 1].x > GAP_S) break;
      j--;
    }
    return to.x <= this.points[j].x ? null : Math.max(0, step(get, this.points[j], to)) / (to.x - this.points[j].x);
  }

  #columns(columns) {
    const out = [[], ...columns.map(() => [])];
    this.points.forEach((point, i) => {
      if (i && point.x - this.points[i - 1].x > GAP_S) out.forEach((column, c) => column.push(c ? null : point.x - 0.5));
      out[0].push(point.x);
      columns.forEach((at, c) => out[c + 1].push(at(i)));
    });
    return out;
  }
}

function step(get, from, to) {
  return (get(to) ?? 0) - (to.at < from.at ? 0 : (get(from) ?? 0));
}

function wayKey(way) {
  return JSON.stringify([way.from_vip, way.from_colo, way.to_vip, way.to_colo, way.verdict]);
}
