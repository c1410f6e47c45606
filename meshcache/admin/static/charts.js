// Draws lines over the last minutes with uPlot, in the page's own colours, and a legend that follows the pointer.

import uPlot from "./uPlot.esm.js";
import { data, each, make, text } from "./dom.js";
import { clock } from "./format.js";

const LABEL_HALF = 29; // of "07:07:30" at 12 px in the widest of the page's fonts
const MARGIN_LEFT = 10; // a label may begin so far left of the first line, and not run into the numbers there
const MARGIN_RIGHT = 20;

const scheme = matchMedia("(prefers-color-scheme: dark)");
const charts = new Set();

scheme.addEventListener("change", () => charts.forEach((chart) => chart.rebuild()));

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

/**
 * One chart. `series` are {label, colour, area, dash, quiet, trouble}; `show` formats a value for axis and legend.
 * `update` takes columns as uPlot does, the window in seconds, and `totals`: [words, key, number] for each series.
 */
export class Chart {
  #box; #legend; #series; #show; #options; #plot = null; #columns = null; #window = [0, 1]; #totals = [];

  constructor(box, legend, series, show, options = {}) {
    [this.#box, this.#legend, this.#series, this.#show, this.#options] = [box, legend, series, show, options];
    box.setAttribute("role", "img");
    new ResizeObserver(() => this.#plot?.setSize(this.#size())).observe(box);
    charts.add(this);
  }

  close() {
    charts.delete(this);
    this.#plot?.destroy();
  }

  update(columns, window, totals = []) {
    [this.#columns, this.#window, this.#totals] = [columns, window, totals];
    if (!this.#plot) this.rebuild();
    this.#plot.setData(this.#drawn());
    this.#tell(this.#plot.cursor.idx);
  }

  rebuild() {
    if (!this.#columns) return;
    this.#plot?.destroy();
    this.#plot = new uPlot(this.#config(), this.#drawn(), this.#box);
  }

  /** A line of what should not happen is drawn only where it did: six lines at zero hide the axis. */
  #drawn() {
    return this.#columns.map((column, i) => (this.#series[i - 1]?.quiet ? column.map((n) => n || null) : column));
  }

  #size() {
    return { width: Math.max(120, this.#box.clientWidth), height: this.#box.clientHeight };
  }

  #config() {
    const axis = { stroke: colour("soft"), font: "12px system-ui, sans-serif", ticks: { show: false }, gap: 4 };
    const grid = { stroke: colour("line"), width: 1 };
    return {
      ...this.#size(),
      padding: [8, MARGIN_RIGHT, 0, 0],
      legend: { show: false },
      cursor: { y: false, drag: { setScale: false, x: false }, sync: { key: "time" }, points: { size: 6 } },
      scales: { x: { time: true, range: () => this.#window }, y: this.#scale() },
      axes: [
        { ...axis, grid: { show: false }, size: 22, space: 80, values: (plot, at, __, ___, step) => at.map((x) => (this.#fits(plot, x, step) ? time(x, step < 60) : "")) },
        { ...axis, grid, size: 44, space: 36, ...this.#ticks() },
      ],
      series: [{}, ...this.#series.map((one) => this.#line(one))],
      hooks: { setCursor: [(plot) => this.#tell(plot.cursor.idx)] },
    };
  }

  /** A label is centred below its tick; one that would stick out at an end is left away, not cut. */
  #fits(plot, x, step) {
    const [from, to] = this.#window;
    const wide = plot.bbox.width / devicePixelRatio;
    const half = step < 60 ? LABEL_HALF : LABEL_HALF * (5 / 8);
    const at = (wide * (x - from)) / (to - from);
    return at >= half - MARGIN_LEFT && at <= wide - half + MARGIN_RIGHT;
  }

  #scale() {
    if (this.#options.log) return { distr: 3, range: (_, low, high) => [below(low ?? 0.1), above(high ?? 10)] };
    return { range: (_, __, high) => [0, Math.max(this.#options.least ?? 1, (high ?? 0) * 1.1)] };
  }

  #ticks() {
    const tick = this.#options.tick ?? ((n) => String(n));
    const values = (_, at) => at.map((n) => (n == null ? "" : tick(n)));
    return this.#options.log ? { values, splits: (_, __, low, high) => decades(low, high), size: 58 } : { values };
  }

  #line({ colour: name, area, dash, trouble }) {
    const stroke = colour(name);
    const fill = area ? `color-mix(in srgb, ${stroke} 14%, transparent)` : undefined;
    return { stroke, fill, dash: dash ? [4, 3] : undefined, width: trouble ? 2 : 1.5, points: { show: false } };
  }

  #heads(line) {
    line.className = "heads";
    const [swatch, , now, total] = line.children;
    swatch.hidden = true;
    text(now, this.#options.heads[0]);
    text(total, this.#options.heads[1] ?? "");
    total.hidden = !this.#options.heads[1];
  }

  /** Legend and label: at the pointer if there is one, else the newest. */
  #tell(index) {
    if (!this.#columns?.[0].length) return;
    const at = index ?? this.#columns[0].length - 1;
    const shown = this.#series.map((_, i) => this.#show(this.#columns[i + 1][at]));
    const heads = this.#options.heads ? [null] : [];
    each(this.#legend, [...heads, ...this.#series], legendLine, (line, one) => {
      if (one === null) return this.#heads(line);
      const i = this.#series.indexOf(one);
      const [swatch, label, now, total] = line.children;
      data(swatch, { of: one.colour });
      swatch.className = one.dash ? "dashed" : "";
      text(label, one.label);
      text(now, shown[i]);
      const [words, key, number] = this.#totals[i] ?? [];
      text(total, words ?? "");
      data(total, { key, value: number });
      total.hidden = words == null;
      line.className = one.trouble && number > 0 ? "trouble" : "";
    });
    const words = this.#series.map(({ label }, i) => `${label} ${shown[i]}`).join(", ");
    if (index == null) this.#box.setAttribute("aria-label", `${this.#options.name ?? ""} ${words}`.trim());
  }
}

const below = (n) => 10 ** Math.floor(Math.log10(Math.max(n, 0.01)) + 1e-9);
const above = (n) => 10 ** Math.ceil(Math.log10(Math.max(n, 1)) - 1e-9);

function decades(low, high) {
  const ticks = [];
  for (let n = low; n <= high * 1.001; n *= 10) ticks.push(Number(n.toPrecision(6)));
  return ticks;
}

function legendLine() {
  return make("li", "", make("i"), make("span"), make("b"), make("em"));
}

function time(at, seconds) {
  return clock(at).slice(0, seconds ? 8 : 5);
}
