// One connection to an edge, from its handshake to its end: requests and answers, the edge's pace, and signs of life.

import { AuthenticationFailed, Disconnected, Dismissed, Refused, Unsendable, refused } from "./errors.js";
import { Pace } from "./pace.js";
import { decode, whole } from "./wire.js";
import { ABOUT_THE_TOKEN, FOR_GOOD } from "./words.js";

const SMALL = 512;
const ADVICE_LIMIT_MS = 300_000;

/** No advice of an edge keeps a client away for longer than five minutes. */
export const advised = (ms) => Math.min(ms ?? 0, ADVICE_LIMIT_MS);

const bytesOf = (text) => new TextEncoder().encode(text).length;

export class Connection {
  comeBackAt = null;
  publishRate = null;
  #asked = new Map();
  #offers = new Map();
  #number = 0;
  #refusal = null;
  #probe = null;
  #trickle = null;

  /** `terms`: what earlier connections learned, `{requestBytes, rate}`; `take` is given events and notices. */
  constructor(url, { WebSocket, clock, terms, openTimeoutMs, take }) {
    Object.assign(this, { clock, terms, take, heardAt: clock() });
    this.pace = new Pace(terms.rate, clock());
    this.socket = new WebSocket(url);
    this.ended = new Promise((resolve) => (this.resolveEnd = resolve));
    const late = setTimeout(() => this.drop("no edge answered in time"), openTimeoutMs);
    this.opened = new Promise((resolve) => (this.socket.onopen = () => resolve(true)));
    this.socket.onmessage = ({ data }) => this.#hear(data);
    this.socket.onclose = ({ code, reason }) => this.#end(this.#meaning(code, reason));
    // A browser says close as well, in the same turn and with a code; some runtimes do not where nobody answers.
    this.socket.onerror = () => setTimeout(() => this.drop("no edge answers"));
    this.ended.then(() => clearTimeout(late));
    this.opened.then(() => clearTimeout(late));
  }

  // Messages.

  #hear(data) {
    this.heardAt = this.clock();
    const message = typeof data === "string" ? decode(data) : null;
    if (!message) return;
    if (message.kind === "refusal") this.#note(message);
    if (message.kind === "answer" || message.kind === "refusal") this.#answered(message);
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

  #answered(message) {
    const asked = this.#asked.get(message.asked);
    this.#asked.delete(message.asked);
    asked?.hear(message);
  }

  // Requests.

  /** Send a request now; `hear` is called once: an answer, a refusal, an `Unsendable`, or null at the end. */
  ask(verb, data, hear, id = String(++this.#number)) {
    let text;
    try {
      text = JSON.stringify({ type: "request", event: verb, data, id });
    } catch (error) {
      throw new Unsendable(`${verb}: ${error.message}`);
    }
    const size = bytesOf(text);
    if (size > this.terms.requestBytes) {
      throw new Unsendable(`${verb}: ${size} bytes, and the edge takes ${this.terms.requestBytes}`);
    }
    this.pace.spend(this.clock());
    this.#asked.set(id, { size, hear });
    this.socket.send(text);
  }

  /** The answer's data. */
  request(verb, data) {
    return new Promise((resolve, reject) => {
      this.ask(verb, data, (heard) => {
        if (heard === null) reject(new Disconnected("the connection ended before the answer"));
        else if (heard instanceof Error) reject(heard);
        else if (heard.kind === "refusal") reject(refused(heard));
        else resolve(heard.data);
      });
    });
  }

  /** Have `say` called as soon as the edge's rate allows one more message. */
  offer(key, say) {
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

  async authenticate(token) {
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
      if (this.heardAt < since) this.drop("nothing was heard of the edge");
    }, withinMs);
  }

  #meaning(code, reason) {
    if (code === 1009 && this.#tooLong(reason)) return new Disconnected("a message was too long for the edge");
    if (!FOR_GOOD.has(code)) return new Disconnected(`the connection ended: ${code} ${reason}`);
    const Kind = this.#refusal || code === 4001 ? AuthenticationFailed : Dismissed;
    const why = reason || this.#refusal?.sentence;
    return new Kind(`the edge closed for good: ${code} ${why}`, { code, retryAfterMs: this.#refusal?.retryAfterMs });
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
    this.close();
    this.#end(new Disconnected(why));
  }

  close() {
    const { socket } = this;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.onerror = () => {};
    socket.close(1000);
  }

  #end(error) {
    clearTimeout(this.#probe);
    clearTimeout(this.#trickle);
    this.#offers.clear();
    this.resolveEnd(error);
  }

  /** Tell every caller that no answer will come. */
  giveUp() {
    const asked = [...this.#asked.values()];
    this.#asked.clear();
    for (const { hear } of asked) hear(null);
  }
}
