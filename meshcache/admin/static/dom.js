// Puts text into the page. Everything goes through textContent: names are the words of other members, who may be hostile.

export const $ = (id) => document.getElementById(id);

/** Set text only where it changed, so that a selection and a screen reader's place survive the next snapshot. */
export function text(node, words) {
  if (node.textContent !== words) node.textContent = words;
}

/** Text with the exact number behind it, for whoever reads the page with a program. */
export function value(node, words, key, number) {
  text(node, words);
  data(node, { key, value: number });
}

export function data(node, attributes) {
  for (const [name, now] of Object.entries(attributes)) {
    if (now == null) delete node.dataset[name];
    else if (node.dataset[name] !== String(now)) node.dataset[name] = now;
  }
}

export function make(tag, className, ...children) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.append(...children);
  return node;
}

/** Show one child for each item: children are made and removed at the end, and filled in place. */
export function each(parent, items, create, fill) {
  while (parent.children.length > items.length) parent.lastElementChild.remove();
  while (parent.children.length < items.length) parent.append(create());
  items.forEach((item, i) => fill(parent.children[i], item));
}

/** Give a row as many cells as it needs, the first a row header when `head`. */
export function cells(row, n) {
  each(row, Array(n).fill(0), () => make(row.children.length ? "td" : "th"), () => {});
  if (row.firstElementChild) row.firstElementChild.scope = "row";
  return [...row.children];
}

/** A name, fenced off so that right-to-left marks inside it can't turn the words around it. */
export function name(node, words, note) {
  if (!node.firstElementChild) node.append(make("bdi"), make("span", "note"));
  text(node.children[0], words);
  text(node.children[1], note ?? "");
  node.children[1].hidden = !note;
}
