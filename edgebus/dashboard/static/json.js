// JSON as a tree that folds. Branches are made when they are opened, long texts and lists are cut with a way to the rest.

import { el, visible } from "./dom.js";

const MEMBERS = 100;
const CHARACTERS = 1_000;

const isBranch = (it) => typeof it === "object" && it !== null;
const size = (it) => (Array.isArray(it) ? it.length : Object.keys(it).length);

export function tree(value, isOpen = true) {
  return isBranch(value) ? branch(null, value, isOpen) : leaf(null, value);
}

function branch(key, value, isOpen) {
  const many = size(value);
  const open = Array.isArray(value) ? `[ ${many} ]` : `{ ${many} }`;
  const node = el("details", {}, el("summary", {}, ...named(key), el("span", { class: "muted" }, open)));
  const fill = () => {
    if (node.childElementCount === 1) members(node, Object.entries(value), 0, Array.isArray(value));
  };
  node.addEventListener("toggle", () => node.open && fill());
  if (isOpen && many) {
    fill();
    node.open = true;
  }
  return node;
}

function members(node, entries, from, isList) {
  for (const [key, value] of entries.slice(from, from + MEMBERS)) {
    const name = isList ? key : JSON.stringify(key);
    node.append(isBranch(value) ? branch(name, value, entries.length <= 12) : leaf(name, value));
  }
  const left = entries.length - from - MEMBERS;
  if (left <= 0) return;
  const more = el("button", { type: "button", class: "quiet" }, `${left.toLocaleString("en")} more`);
  more.addEventListener("click", () => {
    more.remove();
    members(node, entries, from + MEMBERS, isList);
  });
  node.append(more);
}

const named = (key) => (key === null ? [] : [el("bdi", { class: "key" }, visible(key)), ": "]);

function leaf(key, value) {
  const text = visible(JSON.stringify(value) ?? "null");
  const kind = typeof value === "string" ? "text" : typeof value === "number" ? "num" : "muted";
  const shown = el("bdi", { class: kind }, text.slice(0, CHARACTERS));
  const node = el("div", { class: "leaf" }, ...named(key), shown);
  if (text.length > CHARACTERS) {
    const more = el("button", { type: "button", class: "quiet" }, `all ${text.length.toLocaleString("en")} characters`);
    more.addEventListener("click", () => {
      shown.textContent = text;
      more.remove();
    });
    node.append(more);
  }
  return node;
}
