// What came while the flow was paused: how much of it this page no longer holds, and where that is.

import { el, reconcile, say, visible } from "./dom.js";
import { count } from "./figures.js";

const NAMED = 5;

export class Meanwhile {
  #text = el("strong");
  #links = el("span");
  #more = el("span");
  #came = 0;
  #rows = 0;
  #unlogged = 0;
  #gone = new Map();
  node = el("p", { class: "note gone", hidden: true }, this.#text, this.#links, this.#more);

  begin() {
    this.#came = this.#rows = this.#unlogged = 0;
    this.#gone.clear();
    this.node.hidden = true;
  }

  get count() {
    return this.#came;
  }

  /** So many came, of which `rows` were shown to this page, and of those and earlier ones `gone` are let go. */
  took(came, rows, gone) {
    this.#came += came;
    this.#rows += rows.length;
    for (const { channel, position } of gone) {
      if (position === null) this.#unlogged += 1; // a line without a position stands in no log
      else this.#gone.set(channel, (this.#gone.get(channel) ?? 0) + 1);
    }
    this.#say();
  }

  /** How many of those that came are not on this page. */
  get lost() {
    const logged = [...this.#gone.values()].reduce((sum, it) => sum + it, 0);
    return logged + this.#unlogged + this.#unseen;
  }

  get #unseen() {
    return Math.max(0, this.#came - this.#rows);
  }

  #say() {
    this.node.hidden = !this.lost;
    const named = [...this.#gone].sort((a, b) => b[1] - a[1]);
    const [shown, others] = [named.slice(0, NAMED), named.slice(NAMED)];
    say(this.#text, `${count(this.lost)} of the pause are not on this page.`);
    reconcile(this.#links, shown, ([channel]) => channel, () => el("span", {}, " ", el("a"), el("span")), (node, [channel, many]) => {
      node.children[0].setAttribute("href", `#channels/${encodeURIComponent(channel)}`);
      say(node.children[0], visible(channel));
      say(node.children[1], ` has ${count(many)} in its history.`);
    });
    const parts = [];
    if (others.length) parts.push(`${count(others.reduce((sum, it) => sum + it[1], 0))} are in the histories of ${count(others.length)} more channels.`);
    if (this.#unseen) parts.push(`${count(this.#unseen)} came too fast to be shown one by one; the history of each channel with a log has them.`);
    if (this.#unlogged) parts.push(`${count(this.#unlogged)} were on channels without a log, and are kept nowhere.`);
    say(this.#more, ` ${parts.join(" ")}`);
  }
}
