// Elements, made of nodes and text alone: what comes from the bus is never read as markup.

const SVG = "http://www.w3.org/2000/svg";

/** An element: `props` are attributes, `on` listeners, `class` and `data`; children are nodes or texts. */
export function el(tag, props = {}, ...children) {
  return filled(document.createElement(tag), props, children);
}

export function svg(tag, props = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), props, children);
}

function filled(node, { on = {}, data = {}, ...attributes }, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) node.setAttribute(name, "");
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value);
  }
  for (const [type, listener] of Object.entries(on)) node.addEventListener(type, listener);
  Object.assign(node.dataset, data);
  node.append(...children.flat().filter((it) => it !== null && it !== undefined && it !== false));
  return node;
}

/** Text in a node, touched only where it changed: a screen that does not change costs nothing. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

const HIDDEN = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

/** Control characters, and those that turn the direction of what stands behind them, as something to see. */
export function visible(text) {
  return String(text).replace(HIDDEN, (it) => {
    const code = it.codePointAt(0);
    if (code < 0x20) return String.fromCodePoint(0x2400 + code);
    return code === 0x7f ? "\u2421" : `⟨U+${code.toString(16).toUpperCase().padStart(4, "0")}⟩`;
  });
}

/** Foreign text: control characters made visible, and its direction kept to itself. */
export const foreign = (text, props = {}) => el("bdi", props, visible(text));

/** Have a dialog give the focus back where it was; to the content, where that is gone meanwhile. */
export function showModal(dialog) {
  const before = document.activeElement;
  const back = () => (before?.isConnected && before !== document.body ? before : document.getElementById("content")).focus({ preventScroll: true });
  dialog.addEventListener("close", back, { once: true });
  dialog.showModal();
}

/** Say something to a screen reader. */
export function tell(text) {
  document.getElementById("said").textContent = text;
}

export function copyButton(label, text) {
  const button = el("button", { type: "button", class: "quiet", on: { click: copy } }, label);
  async function copy() {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "copied";
      tell(`${label}: copied`);
    } catch {
      button.textContent = "not allowed";
    }
    setTimeout(() => (button.textContent = label), 1500);
  }
  return button;
}

/** A line to type, with a button that copies it. */
export const typed = (text) => el("div", { class: "typed" }, el("code", {}, visible(text)), copyButton("copy", text));

/** A table: `columns` are `{name, number}`; the rows come by `rows(tbody)`. Scrolls in its own frame on a small screen. */
export function table(caption, columns) {
  const heads = columns.map(({ name, number }) => el("th", { scope: "col", class: number && "number" }, name));
  const body = el("tbody");
  const node = el("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": caption },
    el("table", {}, el("caption", { class: "hidden" }, caption), el("thead", {}, el("tr", {}, heads)), body));
  return { node, body };
}

/** Make the children of `parent` those of `items`, by key; a row that stays keeps its node, focus and selection. */
export function reconcile(parent, items, keyOf, make, update) {
  const before = new Map([...parent.children].map((it) => [it.dataset.key, it]));
  const focused = parent.contains(document.activeElement) ? document.activeElement : null;
  let at = parent.firstElementChild;
  for (const item of items) {
    const key = String(keyOf(item));
    let node = before.get(key);
    if (node) before.delete(key);
    else {
      node = make(item);
      node.dataset.key = key;
    }
    update(node, item);
    if (node === at) at = at.nextElementSibling;
    else parent.insertBefore(node, at);
  }
  for (const node of before.values()) node.remove();
  // A row that is moved loses the focus, and one that is gone takes it along.
  if (focused?.isConnected && document.activeElement !== focused) focused.focus({ preventScroll: true });
}

/** The cells of a row, made once; then only their texts change. */
export function cells(row, texts, columns) {
  if (!row.children.length) row.append(...columns.map(({ number }) => el("td", { class: number && "number" }, el("bdi"))));
  texts.forEach((text, index) => say(row.children[index].firstChild, visible(text)));
}
