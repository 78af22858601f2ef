// A client of one edge: connections one after another, for ever, and the subscriptions that go on across all of them.

import { Connection, advised } from "./connection.js";
import { AlreadyFollowed, AuthenticationFailed, ClientClosed, Disconnected, Dismissed, refused } from "./errors.js";
import { canonicalName } from "./names.js";
import { Publishes, limited } from "./publishes.js";
import { isPosition } from "./sequencer.js";
import { SubscriptionState } from "./state.js";
import { Subscription, tell } from "./subscription.js";
import { whole } from "./wire.js";
import { ABOUT_THE_TOKEN } from "./words.js";

export {
  AlreadyFollowed,
  AuthenticationFailed,
  ClientClosed,
  ClientError,
  Disconnected,
  Dismissed,
  Refused,
  RequestTimeout,
  Unsendable,
} from "./errors.js";

const TICK_MS = 5_000;
const STEADY_MS = 5_000;
const HURRIED_MS = 5_000;
const RETRY_MS = 1_000;
const DEFAULTS = {
  queueLimit: 2_000,
  openTimeoutMs: 10_000,
  requestTimeoutMs: 10_000,
  pingIntervalMs: 20_000,
  pingTimeoutMs: 20_000,
  maxRequestBytes: 65_536,
};

const given = (options) => Object.fromEntries(Object.entries(options).filter(([, it]) => it != null));

/** A client of the edge at `url`; it connects at once, and again for ever. See index.d.ts for the options. */
export const connect = (url, options) => new Client(url, options);

/** Full jitter: up to half a second, doubled up to half a minute. */
const delayMs = (attempt) => Math.random() * Math.min(30_000, 500 * 2 ** attempt);

export class Client {
  #url;
  #options;
  #states = new Map();
  #connection = null;
  #publishes;
  #terms;
  #listeners = new Set();
  #over = null;
  #rejected = null;
  #shown = null;
  #asking;
  #latest;
  #renewing;
  #wake = () => {};
  #state = "connecting";
  #ticker;
  #ending = new AbortController();

  constructor(url, { token = null, signal, ...options } = {}) {
    this.#url = String(url);
    this.#options = { ...DEFAULTS, WebSocket: globalThis.WebSocket, clock: () => performance.now(), ...given(options), token };
    this.#terms = { requestBytes: this.#options.maxRequestBytes, rate: null };
    this.#publishes = new Publishes(this.#options.clock);
    if (!/^wss?:\/\//i.test(this.#url)) throw new TypeError(`${this.#url.split("?")[0]} is no address of an edge: ws://… or wss://…`);
    if (!this.#options.WebSocket) throw new TypeError("no WebSocket here: give one, {WebSocket}");
    signal?.addEventListener("abort", () => this.close(), { signal: this.#ending.signal });
    if (signal?.aborted) this.close();
    else this.#run();
  }

  /** `connecting`, `connected`, `waiting` (for another attempt) or `closed`. */
  get state() {
    return this.#state;
  }

  /** Why the client is closed, where an edge dismissed it; null while it goes on. */
  get error() {
    return this.#over instanceof ClientClosed ? null : this.#over;
  }

  /** Call `listener` with `{state, reason, retryInMs}` at every change; returns a function that ends this. */
  on(type, listener) {
    if (type !== "state") throw new TypeError('on: "state" alone');
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #become(state, more = {}) {
    this.#state = state;
    tell(this.#listeners, { state, ...more });
  }

  // One connection after another.

  async #run() {
    this.#watch();
    for (let attempt = 0; !this.#over; attempt += 1) {
      this.#become("connecting");
      const begun = this.#options.clock();
      const [error, connection] = await this.#live();
      if (this.#over) return;
      if (connection && this.#options.clock() - begun >= STEADY_MS) attempt = 0;
      const leastMs = this.#judged(error);
      if (this.#over) return;
      const adviceMs = connection?.comeBackAt - this.#options.clock() || 0;
      // An edge that says "at once" again and again is come back to more and more slowly all the same.
      await this.#pause(adviceMs && !attempt ? adviceMs : Math.max(leastMs, adviceMs, delayMs(attempt)), error);
    }
  }

  /** Open a connection and serve it to its end; the error that ended it, and the connection if there was one. */
  async #live() {
    let connection, error;
    try {
      connection = await this.#open();
      this.#connection = connection;
      this.#become("connected");
      for (const state of this.#states.values()) this.serve(state);
      this.#publishes.came(connection);
      error = await connection.ended;
    } catch (caught) {
      error = caught;
    }
    if (!connection) return [error];
    this.#connection = null;
    this.#publishes.went();
    connection.giveUp();
    for (const state of this.#states.values()) {
      state.interrupted("link", error.message);
      state.changed();
    }
    return [error, connection];
  }

  async #open() {
    const token = await this.#fresh();
    if (this.#over) throw this.#over;
    const { openTimeoutMs, WebSocket, clock } = this.#options;
    const connection = new Connection(this.#url, {
      WebSocket, clock, openTimeoutMs, token, terms: this.#terms, take: (message) => this.#take(connection, message),
    });
    this.#latest = connection;
    try {
      await Promise.race([connection.ready, connection.ended.then((error) => Promise.reject(error))]);
    } catch (error) {
      connection.giveUp();
      connection.drop();
      throw error;
    }
    this.#rejected = null;
    return connection;
  }

  /** A token; the caller's function is called once at a time. */
  #fresh() {
    return (this.#asking ??= this.#asked().finally(() => (this.#asking = null)));
  }

  async #asked() {
    const { token } = this.#options;
    const found = typeof token === "function" ? await token() : token;
    if (this.#rejected && this.#rejected.token === found) throw Object.assign(this.#rejected.error, { isFinal: true });
    this.#shown = found;
    return found;
  }

  /** Whether an error is for good; else the least wait before another attempt. */
  #judged(error) {
    if (!(error instanceof Dismissed)) return 0;
    const mayChange = error instanceof AuthenticationFailed && typeof this.#options.token === "function" && !error.isFinal;
    if (!mayChange) this.#finish(error);
    this.#rejected = { token: this.#shown, error };
    return advised(error.retryAfterMs);
  }

  async #pause(ms, error) {
    const retryInMs = Math.max(0, Math.round(ms));
    const woken = new Promise((resolve) => {
      const timer = setTimeout(resolve, retryInMs);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#become("waiting", { reason: error?.message, retryInMs });
    await woken;
  }

  // A machine that slept, a network that came back, a tab that is looked at again: find out now.

  #watch() {
    const { clock, pingIntervalMs, pingTimeoutMs } = this.#options;
    let expected = clock() + TICK_MS;
    this.#ticker = setInterval(() => {
      const slept = clock() - expected > TICK_MS;
      expected = clock() + TICK_MS;
      if (slept) this.#look();
      else if (this.#connection && clock() - this.#connection.heardAt >= pingIntervalMs) this.#connection.probe(pingTimeoutMs);
    }, TICK_MS);
    this.#ticker.unref?.();
    for (const type of ["online", "offline", "pageshow"]) {
      globalThis.addEventListener?.(type, () => this.#look(), { signal: this.#ending.signal });
    }
  }

  #look() {
    this.#wake();
    this.#connection?.probe(HURRIED_MS);
  }

  // Messages.

  #take(connection, message) {
    const state = this.#states.get(message.room);
    if (message.of) state?.arrived(message.of);
    else if (message.room === null) return this.#notice(connection, message);
    else if (state) this.#ofRoom(state, message);
    if (state) this.#changed(state);
  }

  #ofRoom(state, { event, data }) {
    if (event === "room.gap") state.toldGap(data);
    else if (event === "room.state") state.toldState(data);
    else if (event !== "room.left" || data.user != null) state.toldOfUsers(event, data);
    else if (state.isKnown) this.#end(state, refused({ code: "FORBIDDEN", sentence: `out of the room: ${data.reason}` }));
  }

  #notice(connection, { event, data }) {
    if (event === "edge.draining") connection.comeBackAt = this.#options.clock() + advised(whole(data.reconnect_after_ms));
    else if (event === "auth.expiring") this.#renew(connection, whole(data.expires_in_ms) ?? 30_000);
    else {
      for (const state of this.#states.values()) {
        if (event === "bus.degraded") state.interrupted("bus", String(data.reason || "the edge cannot reach Redis"));
        else if (event === "bus.restored") state.restored();
        this.#changed(state);
      }
    }
  }

  async #renew(connection, leftMs) {
    if (this.#renewing === connection || typeof this.#options.token !== "function") return;
    this.#renewing = connection;
    const until = this.#options.clock() + leftMs;
    let waitMs = 0;
    while (this.#connection === connection && waitMs !== null && this.#options.clock() + waitMs <= until) {
      if (waitMs) await new Promise((resolve) => setTimeout(resolve, waitMs).unref?.());
      waitMs = await this.#renewed(connection);
    }
    if (this.#renewing === connection) this.#renewing = null;
  }

  /** Show a new token: null when the edge has judged it, else the wait before another try. */
  async #renewed(connection) {
    try {
      await connection.request("auth", { token: await this.#fresh() });
    } catch (error) {
      // An edge that refuses a token closes as well, and says more; any other fault may pass.
      if (error instanceof Disconnected || ABOUT_THE_TOKEN.has(error.code)) return null;
      return Math.max(500, advised(error.retryAfterMs));
    }
    return null;
  }

  // Subscriptions.

  /** Follow `channel`: from now on, after `since`, or from the `last` so many events on. */
  subscribe(channel, { signal, ...options } = {}) {
    if (this.#over) throw this.#over;
    if (typeof channel !== "string") throw new TypeError("channel: a text");
    const { since, last, state } = options;
    if (since != null && last != null) throw new TypeError("since, last: one of them");
    if (state && (last != null || (since != null && !isPosition(since)))) {
      throw new TypeError("state: with a position, or alone");
    }
    if (this.#states.has(canonicalName(channel))) throw new AlreadyFollowed(`${channel} is followed already`);
    const made = new SubscriptionState(channel, { ...options, limit: Math.max(16, this.#options.queueLimit), nowMs: this.#options.clock() });
    made.changed = () => {};
    this.#states.set(made.room, made);
    this.serve(made);
    return new Subscription(made, this, signal);
  }

  #changed(state) {
    state.changed();
    this.serve(state);
  }

  /** For subscriptions: offer the request that is due to the edge, if there is one. */
  serve(state) {
    if (!this.#connection || !state.hasCommand || state.queue.isOver) return;
    const connection = this.#connection;
    connection.offer(state, () => this.#say(connection, state));
  }

  #say(connection, state) {
    if (state.queue.isOver || !state.hasCommand) return;
    const [verb, data] = state.command(this.#options.clock());
    try {
      if (verb === "unsubscribe") {
        this.#askToLeave(connection, state.room);
        this.serve(state);
      } else connection.ask(verb, data, (heard) => this.#subscribed(connection, state, heard));
    } catch (error) {
      this.#end(state, error);
    }
  }

  #subscribed(connection, state, heard) {
    if (state.queue.isOver || heard instanceof Disconnected) return;
    if (!(heard instanceof Error)) state.joined(heard);
    else if (heard.code === "RATE_LIMIT_EXCEEDED") {
      state.refused();
      state.retry(); // the pace keeps silent for as long as it has to
    } else if (heard.isPassing) this.#later(connection, state, heard);
    else if (!ABOUT_THE_TOKEN.has(heard.code)) this.#end(state, heard);
    this.#changed(state);
  }

  #later(connection, state, { code, sentence, retryAfterMs }) {
    state.refused();
    if (code === "UNAVAILABLE") state.interrupted("bus", sentence);
    setTimeout(() => {
      if (this.#connection !== connection) return;
      state.retry();
      this.serve(state);
    }, advised(retryAfterMs ?? RETRY_MS) * (1 + Math.random() / 2)).unref?.();
  }

  /** For subscriptions: end one that its caller has done with. */
  leave(state) {
    if (state.queue.isOver) return;
    this.#end(state, null);
    const connection = this.#connection;
    if (connection && state.isKnown) connection.offer(`leave ${state.room}`, () => this.#askToLeave(connection, state.room));
  }

  #askToLeave(connection, room) {
    connection.ask("unsubscribe", { channel: room }, (heard) => {
      const state = this.#states.get(room);
      const isUnwanted = !state || state.phase === "left";
      if (isUnwanted && heard.isPassing && this.#connection === connection) {
        connection.offer(`leave ${room}`, () => this.#askToLeave(connection, room));
      }
    });
  }

  #end(state, error) {
    if (state.queue.isOver) return;
    this.#states.delete(state.room);
    this.#connection?.withdraw(state);
    Object.assign(state.queue, { isOver: true, error });
    state.changed();
  }

  // Requests and publishes.

  /** Ask the edge; the answer's data. Never repeated: the caller alone knows whether a repetition does harm. */
  async request(verb, data = {}, { timeoutMs = this.#options.requestTimeoutMs, signal } = {}) {
    if (this.#over) throw this.#over;
    if (!this.#connection) throw new Disconnected("there is no connection");
    return limited(verb, timeoutMs, signal, (...how) => this.#connection.request(verb, data).then(...how));
  }

  /** Publish an event that the service opens to clients; repeated across connections, and stored once. */
  async publish(event, data = {}, { timeoutMs = this.#options.requestTimeoutMs, ...options } = {}) {
    if (this.#over) throw this.#over;
    return this.#publishes.publish(event, data, { timeoutMs, ...options });
  }

  /** Close the connection and end every iterator. */
  close() {
    this.#finish(new ClientClosed("closed"));
  }

  #finish(error) {
    if (this.#over) return;
    this.#over = error;
    for (const state of [...this.#states.values()]) this.#end(state, this.error);
    this.#publishes.end(error);
    this.#ending.abort();
    clearInterval(this.#ticker);
    this.#latest?.drop(error.message);
    this.#wake();
    this.#become("closed", { reason: error.message });
  }
}
