// Turns numbers into words that fit; knows nothing of the page.

const whole = new Intl.NumberFormat("en");
const NOTHING = "–";

export function count(n) {
  return n == null ? NOTHING : whole.format(n);
}

/** Something a second: three digits are enough to compare, a zero is a plain zero. */
export function rate(n) {
  if (n == null) return NOTHING;
  if (n === 0) return "0";
  if (n < 0.1) return "<0.1";
  return n < 100 ? n.toFixed(1) : whole.format(Math.round(n));
}

export function percent(part, all) {
  if (!all) return NOTHING;
  const p = (100 * part) / all;
  // 99.97 % must not look like all of it, and one in ten thousand not like none.
  if (part !== all && p > 99.9) return "99.9";
  if (part !== 0 && p < 0.1) return "<0.1";
  return p === 100 || p === 0 ? p.toFixed(0) : p.toFixed(1);
}

export function ms(n) {
  if (n == null) return NOTHING;
  if (n < 0.1) return "<0.1";
  return n < 100 ? n.toFixed(1) : whole.format(Math.round(n));
}

export function bytes(n) {
  if (n == null) return NOTHING;
  let unit = 0;
  while (n >= 1024 && unit < 4) [n, unit] = [n / 1024, unit + 1];
  return `${unit === 0 || n >= 100 ? Math.round(n) : n.toFixed(1)} ${["B", "KiB", "MiB", "GiB", "TiB"][unit]}`;
}

/** "3.1 of 64.0 MiB": the unit once where it is the same. */
export function bytesOf(part, all) {
  const [short, long] = [bytes(part), bytes(all)];
  const [number, unit] = short.split(" ");
  return long.endsWith(` ${unit}`) ? `${number} of ${long}` : `${short} of ${long}`;
}

export function span(seconds) {
  if (seconds == null) return NOTHING;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const s = Math.round(seconds);
  if (s < 60) return `${s} s`;
  const minutes = Math.floor(s / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** Whole seconds: what counts up on the page isn't more exact than that. */
export function silence(seconds) {
  return seconds < 10 ? `${Math.max(1, Math.round(seconds))} s` : span(seconds);
}

export function clock(seconds) {
  return new Date(seconds * 1000).toLocaleTimeString("en-GB");
}

/** `settings_differ` is a word for a program; an operator reads "settings differ". */
export function words(reason) {
  return String(reason).replaceAll("_", " ");
}
