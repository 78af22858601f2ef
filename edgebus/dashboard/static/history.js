// The past of one channel: a slider over its time, a replay at its own pace or a multiple, or what comes now.

import { colour } from "./colours.js";
import { el, foreign, say } from "./dom.js";
import { clock, count, positionMs } from "./figures.js";

const KEPT = 300;
const STEP_MS = 250;

export class History {
  #page;
  #name;
  #rows = el("ol", { class: "rows", "aria-label": "Events of the channel, the newest first", "aria-live": "off" });
  #slider = el("input", { type: "range", step: "1", "aria-label": "Time in the log", on: { input: () => this.#moved() } });
  #at = el("output", { class: "mono" });
  #note = el("p", { class: "note" });
  #buttons;
  #time = null;
  #position = null;
  #speed = 0;
  #timer = 0;
  #stop = null;
  #matched = 0;
  #asked = 0;

  constructor(page, name, { first, last, service }) {
    this.#page = page;
    this.#name = name;
    this.service = service;
    const [from, to] = [positionMs(first), positionMs(last)];
    this.#buttons = [1, 4, 16].map((speed) => el("button", { type: "button", "aria-pressed": "false", on: { click: () => this.#play(speed) } }, `${speed}×`));
    const live = el("button", { type: "button", "aria-pressed": "true", on: { click: () => this.#live() } }, "Live");
    this.#buttons.push(live);
    const hasPast = from !== null && to !== null;
    Object.assign(this.#slider, { min: from ?? 0, max: Math.max(to ?? 1, (from ?? 0) + 1), value: to ?? 1, disabled: !hasPast });
    const label = hasPast ? `${clock(from)} to ${clock(to)}` : "this channel has no log: only what comes now";
    this.node = el("section", {}, el("div", { class: "head" }, el("h2", {}, "Events"), el("span", { class: "muted" }, label)),
      el("div", { class: "timeline" }, el("span", { class: "muted" }, "replay"), this.#buttons, this.#slider, this.#at), this.#note, this.#rows);
    for (const button of hasPast ? [] : this.#buttons.slice(0, 3)) button.disabled = true;
    this.#live();
  }

  end() {
    this.#halt();
  }

  #halt() {
    clearInterval(this.#timer);
    this.#stop?.();
    this.#stop = null;
    this.#speed = 0;
  }

  #press(index) {
    this.#buttons.forEach((it, at) => it.setAttribute("aria-pressed", at === index));
  }

  /** What comes now, behind the newest of the past. */
  #live() {
    this.#halt();
    this.#press(3);
    this.#matched = 0;
    this.#slider.value = this.#slider.max;
    say(this.#at, "now");
    this.#load(null);
    this.#stop = this.#page.link.keepAsking(250, async () => {
      const { rows, matched, every } = await this.#page.link.ask("flow", { filter: { channel: this.#name, exact: true } });
      this.#matched = matched;
      const known = new Set([...this.#rows.children].slice(0, KEPT).map((it) => it.dataset.position));
      this.#show(rows.filter((it) => !it.position || !known.has(it.position)));
      say(this.#note, `${count(matched)} came since here${every > 1 ? ` · more than 50 a second: 1 of ${count(every)} is shown` : ""}`);
    });
  }

  #moved() {
    this.#halt();
    this.#press(-1);
    this.#time = Number(this.#slider.value);
    say(this.#at, clock(this.#time));
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#load(this.#time), 120);
  }

  /** The newest events up to a time. */
  async #load(untilMs) {
    const number = ++this.#asked;
    const { rows } = await this.#page.link.ask("history", { channel: this.#name, untilMs }).catch(() => ({ rows: [] }));
    if (number !== this.#asked) return;
    this.#rows.replaceChildren();
    this.#show(rows);
    if (untilMs !== null) say(this.#note, rows.length ? `the last ${count(rows.length)} events up to then` : "no event up to then");
  }

  /** From the slider's time on; from the beginning, where the slider stands at the end. */
  #play(speed) {
    const wasPlaying = this.#speed;
    const time = this.#time;
    this.#halt();
    this.#press([1, 4, 16].indexOf(speed));
    this.#speed = speed;
    const value = Number(this.#slider.value);
    if (!wasPlaying || time === null) {
      this.#time = value >= Number(this.#slider.max) ? Number(this.#slider.min) - 1 : value;
      this.#position = `${Math.max(0, this.#time)}-18446744073709551615`;
      this.#asked += 1;
      this.#rows.replaceChildren();
    }
    let isAsking = false;
    this.#timer = setInterval(async () => {
      if (isAsking || document.hidden || !this.#page.link.isUp) return;
      isAsking = true;
      await this.#step().catch(() => {});
      isAsking = false;
    }, STEP_MS);
  }

  async #step() {
    const number = this.#asked;
    this.#time += STEP_MS * this.#speed;
    const { rows } = await this.#page.link.ask("history", { channel: this.#name, after: this.#position, untilMs: this.#time });
    if (number !== this.#asked || !this.#speed) return;
    if (rows.length) {
      this.#position = rows.at(-1).position;
      this.#time = rows.length === 50 ? positionMs(this.#position) : this.#time; // a page was full: the next one comes at once
    }
    this.#show(rows);
    const end = Number(this.#slider.max);
    this.#slider.value = Math.min(this.#time, end);
    say(this.#at, clock(Math.min(this.#time, end)));
    say(this.#note, this.#time >= end ? "the end of the log; Live goes on with what comes" : `replays at ${this.#speed}×`);
    if (this.#time >= end) this.#halt();
  }

  #show(rows) {
    if (!rows.length) return;
    const parts = document.createDocumentFragment();
    for (const row of rows.toReversed()) {
      const button = el("button", { type: "button", class: "row past", on: { click: () => this.#page.dialog.show(row) } },
        el("span", { class: "time" }, clock(positionMs(row.position) ?? row.at)), foreign(row.event ?? "no event", { class: "event" }), foreign(row.preview, { class: "data", dir: "ltr" }));
      parts.append(el("li", { class: `new ${colour(this.service)}`, data: { position: row.position ?? "" } }, button));
    }
    this.#rows.prepend(parts);
    while (this.#rows.childElementCount > KEPT) this.#rows.lastElementChild.remove();
  }
}
