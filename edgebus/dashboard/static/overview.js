// What is going on: figures with a minute's curve, services, and what is wrong.

import { Curve } from "./curve.js";
import { cells, el, reconcile, say, table, typed, visible } from "./dom.js";
import { colour } from "./colours.js";
import { count, rate, span } from "./figures.js";

const SERVICES = [
  { name: "service" }, { name: "edges", number: true }, { name: "clients", number: true },
  { name: "events/s", number: true }, { name: "events since here", number: true },
];
const BUSY = [{ name: "channel" }, { name: "service" }, { name: "events/s", number: true }, { name: "members", number: true }];

function tile(name, curve) {
  const [value, unit, below] = [el("span", {}, "–"), el("small"), el("span")];
  return { node: el("div", { class: "tile" }, el("dt", {}, name), el("dd", {}, value, " ", unit), el("dd", { class: "below" }, curve ? curve.node : below)), value, unit, below };
}

export class Overview {
  #before = null;
  #first = new Map();
  #rates = new Map();
  #curves = { in: new Curve("events in"), out: new Curve("deliveries out") };
  #tiles = {
    in: tile("Events in", this.#curves.in), out: tile("Deliveries out", this.#curves.out),
    late: tile("End to end"), clients: tile("Clients"), edges: tile("Edges"),
  };
  #troubles = el("ul", { class: "troubles", "aria-label": "What else is wrong", hidden: true });
  #empty = nothingYet();
  #services = table("Services", SERVICES);
  #busy = table("Busiest rooms", BUSY);
  #busyPart = el("section", { hidden: true }, el("div", { class: "head" }, el("h2", {}, "Busiest rooms"),
    el("span", { class: "muted" }, "in the last second, of rooms with members")), this.#busy.node);

  constructor(page) {
    this.page = page;
    this.node = el("div", {}, el("h1", { class: "hidden" }, "Overview"), this.#troubles,
      el("dl", { class: "tiles" }, Object.values(this.#tiles).map((it) => it.node)), this.#empty,
      el("section", {}, el("div", { class: "head" }, el("h2", {}, "Services")), this.#services.node), this.#busyPart);
  }

  /** Take note of a second, also while another view is shown: the curves have no holes. */
  note(now) {
    const before = this.#before;
    this.#before = now;
    if (!before || now.at - before.at > 10_000 || now.published < before.published) return;
    const seconds = (now.at - before.at) / 1000;
    if (seconds < 0.2) return;
    this.rate = (now.published - before.published) / seconds;
    this.#curves.in.push(this.rate);
    this.#curves.out.push(now.deliveries);
    const was = new Map(before.services.map((it) => [it.name, it.events]));
    for (const { name, events } of now.services) this.#rates.set(name, (events - (was.get(name) ?? 0)) / seconds);
  }

  tick(now) {
    this.#tell(now);
    const { late, edges, clients } = this.#tiles;
    this.#figure("in", rate(this.rate), "a second");
    this.#figure("out", rate(now.deliveries), "a second");
    this.#figure("late", span(now.latency.p50), "p50");
    say(late.below, now.latency.count ? `${span(now.latency.p99)} p99, of ${count(now.latency.count)} events of the last minute` : "no event in the last minute");
    this.#figure("clients", count(now.clients), "");
    say(clients.below, `in ${count(now.rooms)} room${now.rooms === 1 ? "" : "s"}`);
    const there = now.edges.filter((it) => it.gone === null);
    this.#figure("edges", count(there.filter((it) => it.state === "ready").length), `of ${count(there.length)} ready`);
    const draining = there.filter((it) => it.draining).length;
    say(edges.below, `${count(there.filter((it) => it.link === "up").length)} links up${draining ? `, ${count(draining)} draining` : ""}`);
    this.#empty.hidden = now.published > 0 || !now.begun;
    reconcile(this.#services.body, now.services, (it) => it.name, () => el("tr"), (row, it) => this.#service(row, it));
    const busy = now.busy.toSorted((a, b) => b.rate - a.rate).slice(0, 8);
    this.#busyPart.hidden = !busy.length;
    reconcile(this.#busy.body, busy, (it) => `${it.service} ${it.channel}`, () => el("tr"), (row, it) => {
      cells(row, [it.channel, it.service, rate(it.rate), count(it.members)], BUSY);
      row.children[1].className = `dot ${colour(it.service)}`;
    });
  }

  #figure(name, value, unit) {
    say(this.#tiles[name].value, value);
    say(this.#tiles[name].unit, unit);
  }

  #tell({ troubles }) {
    const others = troubles.slice(1); // the worst is the sentence on top
    this.#troubles.hidden = !others.length;
    const items = others.slice(0, 30).map((it, at) => ({ ...it, at }));
    reconcile(this.#troubles, items, (it) => it.at, () => el("li"), (node, it) => {
      node.dataset.bad = it.is_bad;
      say(node, visible(it.text));
    });
  }

  #service(row, it) {
    const edges = it.edges === it.ready ? count(it.edges) : `${count(it.ready)} of ${count(it.edges)}`;
    cells(row, [it.name, edges, count(it.clients), rate(this.#rates.get(it.name)), count(it.events)], SERVICES);
    row.firstChild.className = `dot ${colour(it.name)}`;
  }
}

function nothingYet() {
  return el("section", { class: "empty", hidden: true },
    el("h2", {}, "Nothing has been published since this page was opened"),
    el("p", {}, "Events appear here as they go through Redis. Publish one from a shell:"),
    typed(`edgebus publish workflow.started '{"workflow_id":"wf_1"}'`),
    el("p", {}, "or from a program:"),
    typed(`async with Producer() as producer:\n    await producer.publish(WorkflowStarted(workflow_id="wf_1"))`),
    el("p", {}, "or let a whole demonstration run:"), typed("make demo"));
}

