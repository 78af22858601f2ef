// How fast a client sends its own messages: half of what the edge's bucket takes, so that none is refused for its rate.

export class Pace {
  #rate;
  #burst;
  #tokens;
  #updated;
  #said = 0;

  constructor(rate, now) {
    this.#rate = rate ?? 100;
    this.#burst = this.#tokens = rate === null ? 8 : Math.min(rate, 50);
    this.#updated = now;
  }

  #fill(now) {
    this.#tokens = Math.min(this.#burst, this.#tokens + ((now - this.#updated) * this.#rate) / 1000);
    this.#updated = now;
  }

  spend(now) {
    this.#fill(now);
    this.#tokens -= 1;
    this.#said += 1;
  }

  waitMs(now) {
    this.#fill(now);
    return Math.max(0, Math.ceil(((1 - this.#tokens) * 1000) / this.#rate));
  }

  welcomed(rate, now) {
    this.#fill(now);
    this.#rate = this.#burst = rate;
    this.#tokens = rate - this.#said;
  }

  /** Be silent for the edge's advice, and a second more. */
  refused(waitMs, now) {
    this.#fill(now);
    this.#tokens = Math.min(this.#tokens, 1 - (this.#rate * (waitMs + 1000)) / 1000);
  }
}
