// Publishes: sent in order at the edge's pace, and repeated with their ids until answered. An edge stores each once.

import { advised } from "./connection.js";
import { RequestTimeout, refused } from "./errors.js";
import { Pace } from "./pace.js";

export class Publishes {
  #pending = new Map();
  #connection = null;
  #pace = null;
  #timer = null;
  #silentUntil = 0;

  constructor(clock) {
    this.clock = clock;
  }

  publish(event, data, { id = crypto.randomUUID(), timeoutMs, signal }) {
    if (this.#pending.has(id)) throw new Error(`${id} is under way`);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => end(reject, new RequestTimeout(`${event}: no answer within ${timeoutMs} ms`)), timeoutMs);
      const aborted = () => end(reject, signal.reason);
      const end = (how, value) => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", aborted);
        this.#pending.delete(id);
        how(value);
      };
      if (signal?.aborted) return end(reject, signal.reason);
      signal?.addEventListener("abort", aborted);
      this.#pending.set(id, { data: { event, data }, isDue: true, resolve: (it) => end(resolve, it), reject: (it) => end(reject, it) });
      this.#send();
    });
  }

  came(connection) {
    this.#connection = connection;
    this.#pace = null;
    for (const pending of this.#pending.values()) pending.isDue = true;
    this.#send();
  }

  went() {
    this.#connection = null;
    clearTimeout(this.#timer);
    this.#timer = null;
  }

  end(error) {
    for (const { reject } of [...this.#pending.values()]) reject(error);
  }

  #send() {
    if (!this.#connection || this.#timer !== null) return;
    for (const [id, pending] of this.#pending) {
      if (!pending.isDue) continue;
      const waitMs = this.#waitMs();
      if (waitMs > 0) {
        this.#timer = setTimeout(() => {
          this.#timer = null;
          this.#send();
        }, waitMs);
        return;
      }
      this.#say(id, pending);
    }
  }

  #waitMs() {
    const now = this.clock();
    const { publishRate } = this.#connection;
    if (publishRate && !this.#pace?.isKnown) {
      this.#pace = Object.assign(new Pace(publishRate, now), { isKnown: true });
    }
    this.#pace ??= new Pace(null, now);
    return Math.max(this.#pace.waitMs(now), this.#silentUntil - now);
  }

  #say(id, pending) {
    pending.isDue = false;
    this.#pace.spend(this.clock());
    try {
      this.#connection.ask("publish", pending.data, (heard) => this.#heard(pending, heard), id);
    } catch (error) {
      pending.reject(error);
    }
  }

  #heard(pending, heard) {
    if (heard === null) return; // the next connection repeats
    if (heard instanceof Error) pending.reject(heard);
    else if (heard.kind === "answer") pending.resolve(heard.data);
    else if (heard.isPassing) {
      this.#silentUntil = this.clock() + advised(heard.retryAfterMs ?? 1000);
      pending.isDue = true;
      this.#send();
    } else pending.reject(refused(heard));
  }
}
