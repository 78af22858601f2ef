// Events as they come, the newest first. Rows are bounded; what comes while paused is counted, and shown when it goes on.

import { colour } from "./colours.js";
import { el, foreign, reconcile, say, tell } from "./dom.js";
import { clock, count } from "./figures.js";
import { Meanwhile } from "./meanwhile.js";

const KEPT = 300;
const EVERY_MS = 200;

export class Flow {
  #page;
  #rows = el("ol", { class: "rows", "aria-label": "Events, the newest first", "aria-live": "off" });
  #note = el("p", { class: "note" });
  #empty = el("div", { class: "empty" }, el("h2", {}, "Waiting for an event"), el("p"));
  #pause = el("button", { type: "button", "aria-pressed": "false", on: { click: () => this.#toggle() } }, "Pause");
  #service = el("select", { on: { change: () => this.#filtered() } }, el("option", { value: "" }, "all"));
  #fields = Object.fromEntries(["channel", "event", "text"].map((name) => [name, el("input", { type: "search", spellcheck: "false", on: { input: () => this.#filtered() } })]));
  #waiting = [];
  #meanwhile = new Meanwhile();
  #matched = 0;
  #every = 1;
  #isPaused = false;
  #stop = null;
  #wanted = {};

  constructor(page) {
    this.#page = page;
    const label = (text, node) => el("label", {}, text, node);
    this.node = el("div", {}, el("h1", { class: "hidden" }, "Flow"),
      el("form", { class: "bar", role: "search", "aria-label": "Filters", on: { submit: (it) => it.preventDefault() } }, this.#pause,
        label("Service", this.#service), label("Channel has", this.#fields.channel), label("Event has", this.#fields.event),
        label("Data has", this.#fields.text)),
      this.#note, this.#meanwhile.node, this.#rows, this.#empty);
    this.node.addEventListener("keydown", (it) => this.#keys(it));
  }

  enter() {
    this.#stop = this.#page.link.keepAsking(EVERY_MS, () => this.#ask());
    this.#say();
  }

  leave() {
    this.#stop?.();
  }

  tick(now) {
    const names = ["", ...now.services.map((it) => it.name)];
    reconcile(this.#service, names, (it) => it, (it) => el("option", { value: it }), (node, it) => say(node, it || "all"));
    this.#say();
  }

  async #ask() {
    const wanted = this.#wanted;
    const { rows, matched, every } = await this.#page.link.ask("flow", { filter: wanted });
    if (wanted !== this.#wanted) return;
    const fresh = matched >= this.#matched ? matched - this.#matched : matched;
    this.#matched = matched;
    this.#every = every;
    this.#waiting.push(...rows);
    const gone = this.#waiting.splice(0, Math.max(0, this.#waiting.length - KEPT));
    if (this.#isPaused) this.#meanwhile.took(fresh, rows, gone);
    else this.#show();
    this.#say();
  }

  #show() {
    const fresh = this.#waiting.splice(0);
    if (!fresh.length) return;
    const parts = document.createDocumentFragment();
    for (const row of fresh.reverse()) parts.append(this.#row(row));
    this.#rows.prepend(parts);
    while (this.#rows.childElementCount > KEPT) this.#rows.lastElementChild.remove();
  }

  #row(row) {
    const what = row.isEvent ? foreign(row.event, { class: "event" }) : el("span", { class: "event" }, "no event: a line typed by hand");
    const button = el("button", { type: "button", class: "row", on: { click: () => this.#page.dialog.show(row) } },
      el("span", { class: "time" }, clock(row.at)), el("span", { class: "service" }, row.service || "unknown"), what,
      foreign(row.channel, { class: "channel" }), foreign(row.preview, { class: "data", dir: "ltr" }));
    return el("li", { class: `new ${colour(row.service)}` }, button);
  }

  #toggle() {
    this.#isPaused = !this.#isPaused;
    this.#pause.setAttribute("aria-pressed", this.#isPaused);
    this.#pause.textContent = this.#isPaused ? "Go on" : "Pause";
    if (this.#isPaused) this.#meanwhile.begin();
    else this.#show();
    this.#say();
    const { lost } = this.#meanwhile;
    tell(this.#isPaused ? "paused" : `goes on${lost ? `; ${count(lost)} are not on this page` : ""}`);
  }

  #filtered() {
    const { channel, event, text } = this.#fields;
    this.#wanted = { service: this.#service.value, channel: channel.value.trim(), event: event.value.trim(), text: text.value.trim() };
    this.#rows.replaceChildren();
    this.#waiting = [];
    this.#matched = 0;
    this.#meanwhile.begin();
    this.#say();
  }

  #say() {
    const isFiltered = Object.values(this.#wanted).some(Boolean);
    const has = this.#rows.childElementCount > 0;
    this.#empty.hidden = has;
    say(this.#empty.lastChild, isFiltered ? "None that fits the filters has come since they were set." : "Events appear here as they go through Redis, on any channel.");
    const parts = [`${count(this.#matched)} ${isFiltered ? "that fit" : "events"} since here`];
    if (this.#isPaused) parts.push(`paused: ${count(this.#meanwhile.count)} came meanwhile, of which this page holds ${count(this.#waiting.length)}`);
    const sampled = this.#every > 1 ? `more than 50 a second: 1 of ${count(this.#every)} is shown` : "";
    this.#note.replaceChildren(parts.join(" · "), sampled && " · ", sampled && el("strong", {}, sampled));
  }

  #keys(it) {
    if (it.target.matches("input, select")) return;
    if (it.key === " " && !it.target.matches("button")) {
      this.#toggle();
      it.preventDefault();
    }
    const row = it.target.closest?.("li");
    const next = it.key === "ArrowDown" ? row?.nextElementSibling : it.key === "ArrowUp" ? row?.previousElementSibling : null;
    if (!next) return;
    next.firstElementChild.focus();
    it.preventDefault();
  }
}
