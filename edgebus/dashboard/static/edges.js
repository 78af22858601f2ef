// Edges with their own numbers, and the clients of all edges.

import { colour } from "./colours.js";
import { action } from "./confirm.js";
import { cells, el, reconcile, say, table } from "./dom.js";
import { amount, count, rate, span } from "./figures.js";

const EDGES = [
  { name: "edge" }, { name: "state" }, { name: "clients", number: true }, { name: "rooms", number: true }, { name: "in/s", number: true },
  { name: "out/s", number: true }, { name: "waiting", number: true }, { name: "lagging", number: true }, { name: "gaps", number: true },
  { name: "repaired", number: true }, { name: "told", number: true }, { name: "slow", number: true }, { name: "bytes out", number: true },
  { name: "memory", number: true }, { name: "files", number: true }, { name: "link" }, { name: "up for", number: true }, { name: "version" },
];
const CLIENTS = [
  { name: "user" }, { name: "address" }, { name: "service" }, { name: "state" }, { name: "lagging since", number: true }, { name: "waiting", number: true },
  { name: "rooms", number: true }, { name: "first of them" }, { name: "connected", number: true }, { name: "client" },
];

const moodOf = (it) => (it.state === "ready" ? "good" : it.state === "draining" ? "odd" : "bad");
const ofLimit = (used, limit) => (limit ? `${count(used)} of ${count(limit)}` : count(used));

/** A cell with a row's actions, for a page that may act; its head comes with the first one. */
function acts(row, ...buttons) {
  if (row.lastElementChild.className === "acts") return;
  row.append(el("td", { class: "acts" }, buttons));
  const heads = row.closest("table").tHead.rows[0];
  if (heads.cells.length < row.cells.length) heads.append(el("th", { scope: "col" }, "actions"));
}

export class Edges {
  #table = table("Edges", EDGES);
  #empty = el("div", { class: "empty", hidden: true }, el("h2", {}, "No edge yet"), el("p", {}, "Start one with: edgebus edge mahavishnu"));

  constructor(page) {
    this.page = page;
    this.node = el("div", {}, el("div", { class: "head" }, el("h1", {}, "Edges"),
      el("span", { class: "muted" }, "the same numbers as /metrics and edgebus top")), this.#table.node, this.#empty);
  }

  tick(now) {
    this.#empty.hidden = now.edges.length > 0 || !now.begun;
    this.#table.node.hidden = now.edges.length === 0;
    reconcile(this.#table.body, now.edges, (it) => it.id, () => el("tr"), (row, it) => this.#row(row, it, now.at));
  }

  #row(row, it, at) {
    const { look } = it;
    const why = it.ready && it.ready !== "yes" ? `${it.state}: ${it.ready}` : it.state;
    const link = it.probe_age_ms === null ? it.link : `${it.link}, probe ${span(it.probe_age_ms)} ago`;
    cells(row, [it.label, why, ofLimit(it.connections, it.max_connections), count(it.rooms), rate(look?.events_in), rate(look?.deliveries),
      amount(look?.waiting ?? it.waiting_bytes), count(look?.lagging), count(it.gaps), count(it.repaired), count(it.told), count(it.slow),
      amount(it.bytes_out), amount(it.memory_bytes), ofLimit(it.fds, it.fds_limit), link, it.started ? span(at - it.started) : "–", it.version], EDGES);
    row.children[0].className = `dot ${colour(it.service)}`;
    row.children[1].className = "state";
    row.children[1].dataset.mood = moodOf(it);
    if (this.page.hello?.mayAct) queueMicrotask(() => acts(row, this.#act(it, "drain"), this.#act(it, "undrain")));
  }

  #act({ id, label }, verb) {
    const text = verb === "drain" ? `${label} tells its clients to go elsewhere, and refuses new ones until it is undrained.` : `${label} takes clients again.`;
    return action(verb, `${verb} ${label}`, { title: () => `${verb} this edge?`, text: () => text, act: async () => `${label}: ${(await this.page.link.ask(verb, { edge: id })).state}` });
  }
}

export class Clients {
  #page;
  #table = table("Clients", CLIENTS);
  #note = el("p", { class: "note" });
  #user = el("input", { type: "search", spellcheck: "false", on: { change: () => this.#again() } });
  #room = el("input", { type: "search", spellcheck: "false", on: { change: () => this.#again() } });
  #slow = el("input", { type: "checkbox", on: { change: () => this.#again() } });
  #more = el("button", { type: "button", class: "more", hidden: true, on: { click: () => this.#next() } }, "Show more");
  #rows = [];
  #cursor = null;
  #pages = 1;
  #stop = null;

  constructor(page) {
    this.#page = page;
    this.node = el("div", {}, el("div", { class: "head" }, el("h1", {}, "Clients"), el("span", { class: "muted" }, "of all edges, the longest connected first")),
      el("form", { class: "bar", role: "search", "aria-label": "Filters", on: { submit: (it) => it.preventDefault() } },
        el("label", {}, "User", this.#user), el("label", {}, "In the room", this.#room), el("label", {}, "Only slow ones", this.#slow)),
      this.#note, this.#table.node, this.#more);
  }

  enter() {
    this.#again();
    this.#stop = this.#page.link.keepAsking(2000, () => this.#ask());
  }

  leave() {
    this.#stop?.();
  }

  #again() {
    this.#pages = 1;
    if (this.#page.link.isUp) this.#ask().catch(() => {});
  }

  #next() {
    this.#pages += 1;
    this.#ask().catch(() => {});
  }

  async #ask() {
    const wanted = { user: this.#user.value.trim(), room: this.#room.value.trim(), slow: this.#slow.checked };
    let [rows, cursor, silent] = [[], null, []];
    for (let page = 0; page < this.#pages && (page === 0 || cursor); page += 1) {
      const answer = await this.#page.link.ask("clients", { ...wanted, cursor });
      rows = rows.concat(answer.rows);
      ({ cursor, silent } = answer);
    }
    this.#rows = rows;
    this.#cursor = cursor;
    say(this.#note, silent.length ? `without an answer from ${silent.join(", ")}` : "");
    if (this.#page.now) this.tick(this.#page.now);
  }

  tick(now) {
    this.#more.hidden = !this.#cursor;
    const services = new Map(now.edges.map((it) => [it.id, it.service]));
    if (!this.#note.textContent.startsWith("without")) {
      say(this.#note, this.#rows.length ? `${count(this.#rows.length)}${this.#cursor ? " shown" : ""} of ${count(now.clients)}` : "no client fits, or none is there");
    }
    reconcile(this.#table.body, this.#rows, (it) => it.id, () => el("tr"), (row, it) => {
      const service = services.get(it.edge) ?? "";
      cells(row, [it.user ?? "no token", it.address || "–", service, it.state, it.lagging_since ? span(now.at - it.lagging_since) : "–", amount(it.waiting_bytes),
        count(it.rooms_count), it.rooms.slice(0, 3).join(", "), it.connected ? span(now.at - it.connected) : "–", it.id], CLIENTS);
      row.children[2].className = `dot ${colour(service)}`;
      row.children[3].className = "state";
      row.children[3].dataset.mood = it.state === "reading" ? "good" : "odd";
      if (this.#page.hello?.mayAct) queueMicrotask(() => acts(row, this.#kick(it)));
    });
  }

  #kick({ id, user, address }) {
    const text = `${user ?? "A client without a token"} at ${address || "an unknown address"} is sent away, and told not to come back by itself.`;
    return action("kick", `kick ${id}`, { title: () => "Kick this client?", text: () => text, act: async () => `${(await this.#page.link.ask("kick", { client: id })).count} kicked` });
  }
}
