// The values of one subscription that wait for the caller, in the order of the log.

export class Queue {
  #waiting = [];
  #limit;
  isInterrupted = false;
  isOver = false;
  error = null;

  constructor(channel, limit, position) {
    this.channel = channel;
    this.position = position;
    this.#limit = limit;
  }

  /** Whether more than half of the limit waits: too much to let more events come. */
  get isBehind() {
    return this.#waiting.length > this.#limit / 2;
  }

  take() {
    const entry = this.#waiting.shift();
    if (entry?.position) this.position = entry.position;
    return entry?.value;
  }

  /** Have all of `entries`, `{value, position}`, wait or none; false where the limit does not allow all. */
  put(...entries) {
    if (this.#waiting.length + entries.length > this.#limit) {
      this.interrupt("slow", `${this.#waiting.length} values wait to be taken`);
      return false;
    }
    this.#waiting.push(...entries);
    return true;
  }

  /** Tell once that no event comes for now; no limit applies. */
  interrupt(cause, detail) {
    if (this.isInterrupted) return;
    this.isInterrupted = true;
    this.#waiting.push({ value: { type: "interrupted", channel: this.channel, cause, detail } });
  }

  /** Move the caller's place where no value waits that would move it later. */
  stand(position) {
    if (!this.#waiting.length) this.position = position;
  }
}
