// One event: its way through the bus, its data, and the lines to type that show the same.

import { parse } from "./client/wire.js";
import { colour } from "./colours.js";
import { copyButton, el, foreign, showModal } from "./dom.js";
import { amount, clock, positionMs, span } from "./figures.js";
import { tree } from "./json.js";
import { ways } from "./ways.js";

export class EventDialog {
  #node;
  #page;
  #number = 0;

  constructor(node, page) {
    this.#node = node;
    this.#page = page;
  }

  async show(row) {
    const number = ++this.#number;
    this.#fill(row, null, "reading …");
    if (!this.#node.open) showModal(this.#node);
    let [line, trouble] = [null, null];
    try {
      ({ line } = await this.#page.link.ask("event", { number: row.number, channel: row.channel, position: row.position }));
      trouble = line === null ? "the log no longer has this event" : null;
    } catch (error) {
      trouble = `cannot be read at the moment: ${error.sentence ?? error.message}`;
    }
    if (number === this.#number) this.#fill(row, line, trouble);
  }

  #fill(row, line, trouble) {
    const close = el("button", { type: "button", class: "quiet", on: { click: () => this.#node.close() } }, "Close");
    const head = el("div", { class: "dialog-head" },
      el("h2", { id: "event-title" }, foreign(row.event ?? "a line that is no event")), el("span", { class: `dot ${colour(row.service)}` }, row.service || "unknown"), close);
    this.#node.replaceChildren(head, el("div", { class: "body" }, this.#way(row), this.#facts(row),
      el("div", { class: "head" }, el("h3", {}, "Data"), line === null ? null : copyButton("copy the line", line)),
      this.#data(line, trouble), el("h3", {}, "The same elsewhere"), ...ways(row, this.#page)));
    close.focus();
  }

  #data(line, trouble) {
    const box = el("div", { class: "json", tabindex: "0", role: "region", "aria-label": "Data of the event" });
    if (line === null) box.append(trouble ?? "");
    else {
      try {
        const value = parse(line);
        box.append(tree(value !== null && typeof value === "object" && "data" in value ? value.data : value));
      } catch {
        box.append(foreign(line.slice(0, 20_000)));
      }
    }
    return box;
  }

  #way(row) {
    const [published, appended] = [Date.parse(row.timestamp), positionMs(row.position)];
    const steps = [["published", published, "by the publisher's clock"], ["appended", appended, row.position ? "by Redis' clock" : "this channel keeps no log"], ["delivered", row.at, "to this page's server"]];
    if (!row.number) steps[2] = ["read", row.at, "from the log, for this page"];
    let before = null;
    const items = steps.map(([name, at, whose]) => {
      const took = name !== "read" && before !== null && Number.isFinite(at) && at !== null ? `+${span(Math.max(0, at - before))}` : "";
      before = Number.isFinite(at) && at !== null ? at : before;
      return el("li", {}, el("b", {}, name), el("span", {}, `${clock(at ?? NaN)} ${took}`), el("span", {}, whose));
    });
    return el("ol", { class: `way ${colour(row.service)}`, "aria-label": "The way of the event" }, items);
  }

  #facts(row) {
    const facts = [["id", row.id], ["position", row.position], ["size", amount(row.size)]];
    const channel = el("a", { href: `#channels/${encodeURIComponent(row.channel)}`, on: { click: () => this.#node.close() } }, foreign(row.channel));
    return el("dl", { class: "facts" }, el("dt", {}, "channel"), el("dd", {}, channel), facts.filter(([, value]) => value).flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, foreign(value))]));
  }
}
