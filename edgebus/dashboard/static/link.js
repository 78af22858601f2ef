// The page's one connection: questions go through it, at most one of a kind under way, and none while nobody looks.

import { AuthenticationFailed, connect } from "./client/index.js";

const TOKEN = "edgebus-token";

/** A token in the address (`#token=…`) is never sent with it; it is taken out of sight, and kept for this tab. */
export function takeToken() {
  const found = /(?:^#|&)token=([^&]+)/.exec(location.hash);
  if (found) {
    sessionStorage.setItem(TOKEN, decodeURIComponent(found[1]));
    history.replaceState(null, "", location.pathname);
  }
  return sessionStorage.getItem(TOKEN);
}

export function keepToken(token) {
  if (token) sessionStorage.setItem(TOKEN, token);
  else sessionStorage.removeItem(TOKEN);
}

export class Link {
  #bus = null;
  #changed;
  #timers = new Map();
  state = { state: "connecting" };

  /** `changed` is called with `{state, reason, until}` at every change of the connection. */
  constructor(changed) {
    this.#changed = changed;
    document.addEventListener("visibilitychange", () => this.#all());
  }

  open() {
    this.#bus?.close();
    const url = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/`;
    const bus = connect(url, { token: takeToken() });
    this.#bus = bus;
    bus.on("state", ({ state, reason, retryInMs }) => {
      if (this.#bus !== bus) return;
      const until = state === "waiting" ? performance.now() + retryInMs : null;
      this.state = { state, reason, until, wantsToken: bus.error instanceof AuthenticationFailed || bus.error?.code === 1008 };
      this.#changed(this.state);
      if (state === "connected") this.#all();
    });
  }

  get isUp() {
    return this.state.state === "connected";
  }

  /** Resolves when the connection is up. */
  async whenUp() {
    while (!this.isUp) await new Promise((resolve) => setTimeout(resolve, 100));
  }

  ask(verb, data, options) {
    return this.#bus.request(`dashboard.${verb}`, data, options);
  }

  /** Ask again and again, `everyMs` behind the last answer; returns a function that ends this. */
  keepAsking(everyMs, ask) {
    const job = { everyMs, ask, timer: 0, isUnderWay: false };
    this.#timers.set(ask, job);
    this.#due(job);
    return () => {
      clearTimeout(job.timer);
      this.#timers.delete(ask);
    };
  }

  #all() {
    for (const job of this.#timers.values()) this.#due(job);
  }

  async #due(job) {
    clearTimeout(job.timer);
    if (job.isUnderWay || document.hidden || !this.isUp || !this.#timers.has(job.ask)) return;
    job.isUnderWay = true;
    try {
      await job.ask();
    } catch (error) {
      console.debug(error.message);
    }
    job.isUnderWay = false;
    if (this.#timers.has(job.ask)) job.timer = setTimeout(() => this.#due(job), job.everyMs);
  }
}
