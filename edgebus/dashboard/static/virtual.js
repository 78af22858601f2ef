// A list of any length: only the rows in sight are made, and asked for.

import { el, reconcile } from "./dom.js";

const ROW = 32;
const SLICE = 100;

export class VirtualList {
  #ask;
  #make;
  #update;
  #total = 0;
  #slices = new Map();
  #spacer = el("ul", { class: "spacer" });
  #frame = 0;
  #generation = 0;

  /** `ask(offset)` promises `{rows, total}`; `make()` a row's element, and `update(element, row)` fills it. */
  constructor(label, head, { ask, make, update }) {
    Object.assign(this, { label });
    this.#ask = ask;
    this.#make = make;
    this.#update = update;
    this.node = el("div", { class: "virtual", role: "region", "aria-label": label, tabindex: "0" }, head, this.#spacer);
    this.node.addEventListener("scroll", () => this.#soon(), { passive: true });
  }

  get total() {
    return this.#total;
  }

  /** Forget all rows, and begin at the top. */
  reset() {
    this.#generation += 1;
    this.#slices.clear();
    this.#total = 0;
    this.node.scrollTop = 0;
    this.#draw();
  }

  /** Ask anew for what is in sight. */
  async refresh() {
    const generation = this.#generation;
    const [from, to] = this.#sight();
    for (let at = Math.floor(from / SLICE); at <= Math.floor(Math.max(0, to - 1) / SLICE); at += 1) {
      const answer = await this.#ask(at * SLICE);
      if (generation !== this.#generation) return null;
      this.#slices.set(at, answer.rows);
      this.#total = answer.total;
      this.last = answer;
    }
    if (this.#slices.size > 20) for (const at of this.#slices.keys()) if (Math.abs(at * SLICE - from) > 5 * SLICE) this.#slices.delete(at);
    this.#draw();
    return this.last;
  }

  #sight() {
    const first = Math.max(0, Math.floor(this.node.scrollTop / ROW) - 5);
    return [first, first + Math.ceil((this.node.clientHeight || 600) / ROW) + 10];
  }

  #soon() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#draw();
      const [from, to] = this.#sight();
      if (!this.#slices.has(Math.floor(from / SLICE)) || (to < this.#total && !this.#slices.has(Math.floor(to / SLICE)))) this.refresh().catch(() => {});
    });
  }

  #draw() {
    this.#spacer.style.setProperty("height", `${this.#total * ROW}px`);
    const [from, to] = this.#sight();
    const items = [];
    for (let at = from; at < Math.min(to, this.#total); at += 1) {
      const row = this.#slices.get(Math.floor(at / SLICE))?.[at % SLICE];
      if (row) items.push({ at, row });
    }
    reconcile(this.#spacer, items, (it) => it.row.channel, () => el("li", {}, this.#make()), (node, { at, row }) => {
      node.style.setProperty("transform", `translateY(${at * ROW}px)`);
      node.setAttribute("aria-posinset", at + 1);
      node.setAttribute("aria-setsize", this.#total);
      this.#update(node.firstElementChild, row);
    });
  }
}
