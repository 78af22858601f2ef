// Publishes: sent in order at the edge's pace, and repeated with their ids until answered. An edge stores each once.

import { advised } from "./connection.js";
import { Disconnected, RequestTimeout } from "./errors.js";
import { Pace } from "./pace.js";

/** A promise that `begin(resolve, reject)` keeps, in time and unless the signal says no. */
export function limited(verb, timeoutMs, signal, begin) {
  let [timer, aborted] = [];
  return new Promise((resolve, reject) => {
    timer = setTimeout(() => reject(new RequestTimeout(`${verb}: no answer within ${timeoutMs} ms`)), timeoutMs);
    aborted = () => reject(signal.reason);
    signal?.addEventListener("abort", aborted);
    if (signal?.aborted) aborted();
    else begin(resolve, reject);
  }).finally(() => {
    clearTimeout(timer);
    signal?.removeEventListener("abort", aborted);
  });
}

// `crypto.randomUUID` is there for pages of https alone.
const newId = () => crypto.getRandomValues(new Uint32Array(4)).join("-");

export class Publishes {
  #pending = new Map();
  #connection = null;
  #pace = null;
  #timer = null;
  #silentUntil = 0;

  constructor(clock) {
    this.clock = clock;
  }

  publish(event, data, { id = newId(), timeoutMs, signal }) {
    if (this.#pending.has(id)) throw new Error(`${id} is under way`);
    return limited(event, timeoutMs, signal, (resolve, reject) => {
      this.#pending.set(id, { data: { event, data }, isDue: true, resolve, reject });
      this.#send();
    }).finally(() => this.#pending.delete(id));
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
    if (heard instanceof Disconnected) return; // the next connection repeats
    if (!(heard instanceof Error)) pending.resolve(heard);
    else if (heard.isPassing) {
      this.#silentUntil = this.clock() + advised(heard.retryAfterMs ?? 1000);
      pending.isDue = true;
      this.#send();
    } else pending.reject(heard);
  }
}
