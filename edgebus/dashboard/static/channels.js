// Channels: search and order, however many there are; one of them with its past, and what requests answer about it.

import { colour } from "./colours.js";
import { el, foreign, say, visible } from "./dom.js";
import { amount, clock, count, positionMs, rate, span } from "./figures.js";
import { History } from "./history.js";
import { tree } from "./json.js";
import { VirtualList } from "./virtual.js";

const ORDERS = { rate: "rate", members: "members", length: "length", last: "last event", name: "name" };
const COLUMNS = { channel: "name", service: null, "events/s": "rate", members: "members", "in the log": "length", "last event": "last" };

export class Channels {
  #page;
  #search = el("input", { type: "search", spellcheck: "false", on: { input: () => this.#again() } });
  #by = el("select", { on: { change: () => this.#again() } }, Object.entries(ORDERS).map(([it, name]) => el("option", { value: it }, name)));
  #heads = Object.entries(COLUMNS).map(([name, order], at) => el(order ? "button" : "span", { type: order && "button", class: at > 1 && "number", title: order && `order by ${ORDERS[order]}`,
    data: order ? { order } : {}, on: order ? { click: () => this.#orderBy(order) } : {} }, name));
  #note = el("p", { class: "note" });
  #list;
  #all;
  #one = el("div", { hidden: true });
  #history = null;
  #stop = null;

  constructor(page) {
    this.#page = page;
    const head = el("div", { class: "channel-row channel-head", role: "group", "aria-label": "Order" }, this.#heads);
    this.#list = new VirtualList("Channels", head, {
      ask: (offset) => page.link.ask("channels", { search: this.#search.value.trim(), by: this.#by.value, offset }),
      make: () => el("a", { class: "channel-row" }, el("bdi", { class: "mono" }), el("span", { class: "service" }), ...Array.from({ length: 4 }, () => el("span", { class: "number" }))),
      update: (node, it) => this.#row(node, it),
    });
    this.#all = el("div", {}, el("div", { class: "head" }, el("h1", {}, "Channels"), el("span", { class: "muted" }, "with a log in Redis, with members, or heard of since this page was opened")),
      el("form", { class: "bar", role: "search", "aria-label": "Filters", on: { submit: (it) => it.preventDefault() } },
        el("label", {}, "Name has", this.#search), el("label", {}, "Order", this.#by)), this.#note, this.#list.node);
    this.node = el("div", {}, this.#all, this.#one);
    this.#press();
  }

  #press() {
    for (const it of this.#heads) if (it.dataset.order) it.setAttribute("aria-pressed", it.dataset.order === this.#by.value);
  }

  enter() {
    this.#stop = this.#page.link.keepAsking(2000, () => this.#refresh());
  }

  leave() {
    this.#stop?.();
    this.#history?.end();
    this.#history = null;
  }

  /** Show one channel, by its name in Redis; an empty name is the list. */
  go(name) {
    this.#history?.end();
    this.#history = null;
    const left = [this.#all, this.#one].find((it) => it.contains(document.activeElement)); // what is hidden next takes the focus along
    this.#all.hidden = Boolean(name);
    this.#one.hidden = !name;
    if (left?.hidden && !name) this.#list.node.focus();
    if (name) this.#open(name, Boolean(left));
    else if (this.#page.link.isUp) this.#refresh().catch(() => {});
  }

  tick() {}

  async #refresh() {
    if (this.#all.hidden) return;
    const answer = await this.#list.refresh();
    if (!answer) return;
    const all = `${count(answer.total)} channel${answer.total === 1 ? "" : "s"}${answer.isCut ? ", and more than are looked through" : ""}`;
    say(this.#note, answer.total ? all : "no channel of this name");
  }

  #orderBy(order) {
    this.#by.value = order;
    this.#again();
  }

  #again() {
    this.#press();
    this.#list.reset();
    if (this.#page.link.isUp) this.#refresh().catch(() => {});
  }

  #row(node, it) {
    const [name, service, ...numbers] = node.children;
    node.setAttribute("href", `#channels/${encodeURIComponent(it.channel)}`);
    say(name, visible(it.channel));
    say(service, it.service || "unknown");
    node.className = `channel-row ${colour(it.service)}`;
    const at = positionMs(it.position);
    const texts = [rate(it.rate), count(it.members), it.length === null && at === null ? "no log" : count(it.length), at === null ? "–" : `${span(Math.max(0, Date.now() - at))} ago`];
    texts.forEach((text, index) => say(numbers[index], text));
  }

  async #open(name, isFocused) {
    const back = el("a", { href: "#channels" }, "← all channels");
    const title = el("h1", {}, foreign(name));
    this.#one.replaceChildren(el("div", { class: "head" }, back, title), el("p", { class: "note" }, "reading …"));
    if (isFocused) back.focus();
    document.title = `${name} · edgebus`;
    const link = this.#page.link;
    let about;
    try {
      await link.whenUp();
      about = await link.ask("channel", { channel: name });
    } catch (error) {
      this.#one.lastChild.textContent = error.sentence ?? error.message;
      return;
    }
    if (this.#one.hidden || !title.isConnected) return;
    this.#history = new History(this.#page, name, about);
    const wasFocused = document.activeElement === back;
    this.#one.replaceChildren(el("div", { class: "head" }, back, title, el("span", { class: `dot ${colour(about.service)}` }, about.service || "unknown")),
      facts(about.room), ...about.cards.map(card), this.#history.node);
    if (wasFocused) back.focus();
  }
}

function facts(room) {
  if (room.trouble) return el("p", { class: "note" }, room.trouble);
  const edges = room.edges.map((it) => `${it.members} at ${it.edge}${it.in_sync ? "" : " (behind the log)"}`).join(", ");
  const kept = room.retention === "history" ? `the newest ${count(room.max_events)} events, for ${span(room.keeps_s * 1000)} after the last` : room.retention;
  const rows = [["members", edges || "none"], ["kept", kept || "no edge serves the channel"],
    ["log", room.length ? `${count(room.length)} events, ${amount(room.log_bytes)}` : "none"],
    ["last event", room.last ? `${room.last.event} at ${clock(positionMs(room.last.position) ?? NaN)}` : "none"], ["last position", room.position ?? "–"]];
  return el("dl", { class: "facts" }, rows.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, foreign(value))]));
}

function card({ request, answer }) {
  const { status, ...rest } = answer;
  const values = Object.entries(rest).map(([name, value]) => [el("dt", {}, foreign(name.replaceAll("_", " "))),
    el("dd", {}, typeof value === "object" && value !== null ? tree(value, false) : foreign(value ?? "–"))]);
  return el("section", { class: "card", "aria-label": request }, el("div", { class: "head" }, el("h2", {}, foreign(request)), status && el("span", { class: "badge" }, foreign(status))),
    el("dl", { class: "facts" }, values.flat()));
}
