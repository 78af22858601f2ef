// One connection to an edge, from its handshake to its end: requests and answers, the edge's pace, and signs of life.

import { AuthenticationFailed, Disconnected, Dismissed, Refused, Unsendable } from "./errors.js";
import { Pace } from "./pace.js";
import { decode, whole } from "./wire.js";
import { ABOUT_THE_TOKEN, FOR_GOOD } from "./words.js";

const UNANSWERED = "the connection ended before the answer";
const SMALL = 512;
const ADVICE_LIMIT_MS = 300_000;

/** No advice of an edge keeps a client away for longer than five minutes. */
export const advised = (ms) => Math.min(ms ?? 0, ADVICE_LIMIT_MS);

const bytesOf = (text) => new TextEncoder().encode(text).length;

export class Connection {
  comeBackAt;
  isOver = false;
  publishRate = null;
  #asked = new Map();
  #offers = new Map();
  #number = 0;
  #refusal = null;
  #probe = null;
  #trickle = null;
  #late;

  /** `terms`: what earlier connections learned, `{requestBytes, rate}`; `take` is given events and notices. */
  constructor(url, { WebSocket, clock, terms, openTimeoutMs, token, take }) {
    Object.assign(this, { clock, terms, take, heardAt: clock() });
    this.pace = new Pace(terms.rate, clock());
    this.socket = new WebSocket(url);
    this.ended = new Promise((resolve) => (this.resolveEnd = resolve));
    this.#late = setTimeout(() => this.drop("no edge answers"), openTimeoutMs);
    const opened = new Promise((resolve) => (this.socket.onopen = resolve));
    this.ready = opened.then(() => this.#authenticate(token)).then(() => clearTimeout(this.#late));
    this.socket.onmessage = ({ data }) => this.#hear(data);
    this.socket.onclose = ({ code, reason }) => this.#end(this.#meaning(code, reason));
    // A browser says close as well, in the same turn and with a code; some runtimes do not where nobody answers.
    this.socket.onerror = () => setTimeout(() => this.drop("no edge answers"));
  }

  // Messages.

  #hear(data) {
    this.heardAt = this.clock();
    const message = typeof data === "string" ? decode(data) : null;
    if (!message) return;
    if (message.heard) this.#answered(message);
    else if (message.event === "session.created") this.#welcomed(message.data);
    else this.take(message);
  }

  #note({ code, retryAfterMs, sentence }) {
    if (ABOUT_THE_TOKEN.has(code)) this.#refusal = { sentence, retryAfterMs };
    if (code === "RATE_LIMIT_EXCEEDED") this.pace.refused(advised(retryAfterMs), this.clock());
  }

  #welcomed({ rate_limit, publish_rate_limit }) {
    this.publishRate = whole(publish_rate_limit);
    if (!whole(rate_limit)) return;
    this.terms.rate = rate_limit;
    this.pace.welcomed(rate_limit, this.clock());
  }

  #answered({ asked, heard }) {
    if (heard instanceof Refused) this.#note(heard);
    const hear = this.#asked.get(asked)?.hear;
    this.#asked.delete(asked);
    hear?.(heard);
  }

  // Requests.

  /** Send a request now; `hear` is called once: with the answer's data, or a `Refused`, `Unsendable` or `Disconnected`. */
  ask(verb, data, hear, id = String(++this.#number)) {
    if (this.isOver) return hear(new Disconnected(UNANSWERED));
    let text;
    try {
      text = JSON.stringify({ type: "request", event: verb, data, id });
    } catch (error) {
      throw new Unsendable(`${verb}: ${error.message}`);
    }
    const size = bytesOf(text);
    if (size > this.terms.requestBytes) {
      throw new Unsendable(`${verb}: ${size} bytes are more than the edge takes: ${this.terms.requestBytes}`);
    }
    this.pace.spend(this.clock());
    this.#asked.set(id, { size, hear });
    this.socket.send(text);
  }

  /** The answer's data. */
  request(verb, data) {
    return new Promise((resolve, reject) => {
      this.ask(verb, data, (heard) => (heard instanceof Error ? reject(heard) : resolve(heard)));
    });
  }

  /** Have `say` called as soon as the edge's rate allows one more message. */
  offer(key, say) {
    if (this.isOver) return;
    if (!this.#offers.size && !this.pace.waitMs(this.clock())) say();
    else {
      this.#offers.set(key, say);
      this.#trickled();
    }
  }

  withdraw(key) {
    this.#offers.delete(key);
  }

  #trickled() {
    this.#trickle ??= setTimeout(() => {
      this.#trickle = null;
      while (this.#offers.size && !this.pace.waitMs(this.clock())) {
        const [key, say] = this.#offers.entries().next().value;
        this.#offers.delete(key);
        say();
      }
      if (this.#offers.size) this.#trickled();
    }, this.pace.waitMs(this.clock()));
  }

  // The token.

  async #authenticate(token) {
    if (token == null) return;
    try {
      await this.request("auth", { token });
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      if (!ABOUT_THE_TOKEN.has(error.code)) throw new Disconnected(error.message);
      throw new AuthenticationFailed(error.sentence, { code: 1008, retryAfterMs: error.retryAfterMs });
    }
  }

  // Life and end.

  /** Ask for a sign of life; without one in `withinMs` the connection counts as broken. */
  probe(withinMs) {
    if (this.#probe || this.socket.readyState !== 1) return;
    const since = this.clock();
    this.ask("ping", {}, () => {});
    this.#probe = setTimeout(() => {
      this.#probe = null;
      if (this.heardAt < since) this.drop("the edge is silent");
    }, withinMs);
  }

  #meaning(code, reason) {
    if (code === 1009 && this.#tooLong(reason)) return new Disconnected("too long for the edge");
    if (!FOR_GOOD.has(code)) return new Disconnected(`the connection ended: ${code} ${reason}`);
    const Kind = this.#refusal || code === 4001 ? AuthenticationFailed : Dismissed;
    const why = reason || this.#refusal?.sentence;
    return new Kind(`closed for good: ${code} ${why}`, { code, retryAfterMs: this.#refusal?.retryAfterMs });
  }

  // The close names no request: the longest one without an answer is taken for the culprit, and fails alone.
  #tooLong(reason) {
    const [id, asked] = [...this.#asked].sort(([, a], [, b]) => b.size - a.size)[0] ?? [];
    if (!asked || asked.size <= SMALL) return false;
    this.terms.requestBytes = Math.min(this.terms.requestBytes, asked.size - 1);
    this.#asked.delete(id);
    asked.hear(new Unsendable(`${asked.size} bytes are more than the edge takes: ${reason}`));
    return true;
  }

  /** Give the connection up at once, without a closing handshake. */
  drop(why) {
    const { socket } = this;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.onerror = () => {};
    socket.close(1000);
    this.#end(new Disconnected(why));
  }

  #end(error) {
    this.isOver = true;
    for (const it of [this.#probe, this.#trickle, this.#late]) clearTimeout(it);
    this.#offers.clear();
    this.resolveEnd(error);
  }

  /** Tell every caller that no answer will come. */
  giveUp() {
    const asked = [...this.#asked.values()];
    this.#asked.clear();
    for (const { hear } of asked) hear(new Disconnected(UNANSWERED));
  }
}
