// Publishing a test event: a form made of the model's JSON Schema, with each fault at its field.

import { el, foreign, say, tell } from "./dom.js";
import { ways } from "./ways.js";

const HIDDEN = new Set(["timestamp"]);

export class Publish {
  #page;
  #service = el("select", { on: { change: () => this.#events() } });
  #event = el("select", { on: { change: () => this.#model() } });
  #form = el("form", { class: "fields", novalidate: true, on: { submit: (it) => this.#send(it) } });
  #said = el("div", { role: "status" });
  #fields = new Map();

  constructor(page) {
    this.#page = page;
    this.node = el("div", {}, el("div", { class: "head" }, el("h1", {}, "Publish a test event"), el("span", { class: "muted" }, "of a service whose code is at hand; everybody who watches its channels sees it")),
      el("div", { class: "bar" }, el("label", {}, "Service", this.#service), el("label", {}, "Event", this.#event)), this.#form, this.#said);
  }

  enter() {
    if (!this.#service.childElementCount) this.#begin();
  }

  tick() {
    if (!this.#service.childElementCount && this.#page.hello?.mayAct) this.#begin();
  }

  #ask(data) {
    return this.#page.link.ask("models", data);
  }

  async #begin() {
    const { link } = this.#page;
    await link.whenUp();
    try {
      const { services } = await this.#ask({});
      this.#service.replaceChildren(...services.map((it) => el("option", { value: it }, it)));
      await this.#events();
    } catch (error) {
      say(this.#said, error.sentence ?? error.message);
    }
  }

  async #events() {
    const { events } = await this.#ask({ service: this.#service.value });
    this.#event.replaceChildren(...events.map((it) => el("option", { value: it }, it)));
    await this.#model();
  }

  async #model() {
    const { schema, channels } = await this.#ask({ service: this.#service.value, event: this.#event.value });
    this.#fields.clear();
    const required = new Set(schema.required ?? []);
    const parts = Object.entries(schema.properties ?? {}).filter(([name]) => !HIDDEN.has(name)).map(([name, one]) => this.#field(name, resolved(one, schema), required.has(name)));
    if (schema.additionalProperties) parts.push(this.#field("", { type: "object", title: "further fields", description: "merged into data" }, false));
    this.#form.replaceChildren(el("p", { class: "muted" }, "goes on ", ...channels.flatMap((it, at) => [at ? ", " : "", el("code", {}, it)])), ...parts,
      el("div", {}, el("button", { class: "main" }, "Publish")));
    this.#said.replaceChildren();
  }

  #field(name, one, isRequired) {
    const id = `field-${name || "further"}`;
    const kind = kindOf(one);
    const common = { id, name, required: isRequired, "aria-describedby": `${id}-fault ${id}-help` };
    const input = kind.choices ? el("select", common, isRequired ? [] : el("option", { value: "" }, "–"), kind.choices.map((it) => el("option", { value: it }, String(it))))
      : kind.type === "json" ? el("textarea", { ...common, rows: "2", spellcheck: "false", placeholder: one.type === "array" ? "[]" : "{}" })
      : kind.type === "boolean" ? el("select", common, el("option", { value: "" }, "–"), el("option", { value: "true" }, "true"), el("option", { value: "false" }, "false"))
      : el("input", { ...common, autocomplete: "off", inputmode: kind.type === "number" ? "decimal" : null });
    const fault = el("span", { class: "fault", id: `${id}-fault` });
    this.#fields.set(name, { input, fault, kind, isRequired });
    return el("div", { class: "field" }, el("label", { for: id }, name || one.title, isRequired ? "" : el("span", { class: "muted" }, " (optional)")), input, fault,
      el("span", { class: "muted help", id: `${id}-help` }, [kind.word, one.description].filter(Boolean).join("; ")));
  }

  #read() {
    const data = {};
    let isGood = true;
    for (const [name, { input, kind, isRequired }] of this.#fields) {
      this.#mark(name, "");
      const text = input.value;
      if (text === "") {
        if (isRequired) isGood = this.#mark(name, "is wanted");
        continue;
      }
      try {
        const value = kind.type === "text" ? text : JSON.parse(text);
        if (name) data[name] = value;
        else Object.assign(data, value);
      } catch {
        isGood = this.#mark(name, kind.type === "number" ? "is no number" : "is no JSON");
      }
    }
    return isGood ? data : null;
  }

  #mark(name, text) {
    const { input, fault } = this.#fields.get(name) ?? this.#fields.values().next().value;
    say(fault, text);
    input.setAttribute("aria-invalid", Boolean(text));
    return !text;
  }

  async #send(it) {
    it.preventDefault();
    const data = this.#read();
    if (!data) return this.#toFault();
    const asked = { service: this.#service.value, event: this.#event.value, data };
    try {
      const answer = await this.#page.link.ask("publish", asked);
      if (answer.faults) {
        for (const { field, fault } of answer.faults) this.#mark(this.#fields.has(field) ? field : "", fault);
        return this.#toFault();
      }
      this.#done(asked, answer);
    } catch (error) {
      this.#said.replaceChildren(el("p", { class: "fault" }, error.sentence ?? error.message));
    }
  }

  #toFault() {
    for (const { input } of this.#fields.values()) {
      if (input.getAttribute("aria-invalid") === "true") return input.focus();
    }
  }

  #done({ service, event }, { id, positions, receivers }) {
    const [channel, position] = Object.entries(positions)[0] ?? ["", null];
    const heard = Object.values(receivers ?? {}).reduce((sum, it) => sum + it, 0);
    const name = channel === "global" ? `global:${service}` : channel;
    this.#said.replaceChildren(el("p", {}, "Published ", foreign(event), ` as ${id}; ${heard} subscriber${heard === 1 ? "" : "s"} of Redis heard it. `, el("a", { href: `#channels/${encodeURIComponent(name)}` }, foreign(channel))),
      ...ways({ channel: name, service, position }, this.#page).slice(0, 2));
    tell("published");
  }
}

const resolved = (one, { $defs = {} }) => (one.$ref ? { ...$defs[one.$ref.split("/").at(-1)], ...one } : one);

function kindOf(one) {
  const kinds = one.anyOf?.filter((it) => it.type !== "null") ?? [one];
  const first = kinds.length === 1 ? kinds[0] : {};
  if (first.enum) return { type: typeof first.enum[0] === "string" ? "text" : "json", choices: first.enum, word: "" };
  if (first.type === "string") return { type: "text", word: first.format ?? "" };
  if (first.type === "integer" || first.type === "number") {
    const bounds = [first.minimum !== undefined && `from ${first.minimum}`, first.maximum !== undefined && `to ${first.maximum}`].filter(Boolean);
    return { type: "number", word: [first.type === "integer" ? "whole number" : "number", ...bounds].join(" ") };
  }
  if (first.type === "boolean") return { type: "boolean", word: "" };
  return { type: "json", word: first.type === "array" ? "JSON list" : first.type === "object" ? "JSON object" : "JSON" };
}
