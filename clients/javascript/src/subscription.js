// A subscription in the caller's hands: an async iterator over one channel's values, or callbacks.

// A fault of the page's is told as such, and stops nothing here.
const fault = (error) =>
  setTimeout(() => {
    throw error;
  });

/** Call all of `listeners` with `value`. */
export function tell(listeners, value) {
  for (const listener of [...listeners]) {
    try {
      listener(value);
    } catch (error) {
      fault(error);
    }
  }
}

export class Subscription {
  #state;
  #owner;
  #wake = () => {};
  #listeners = new Map();
  #taker = "";
  #turn = Promise.resolve();

  constructor(state, owner, signal) {
    this.#state = state;
    this.#owner = owner;
    const aborted = () => this.close();
    state.changed = () => {
      if (state.queue.isOver) signal?.removeEventListener("abort", aborted);
      this.#wake();
    };
    signal?.addEventListener("abort", aborted);
    if (signal?.aborted) aborted();
  }

  get channel() {
    return this.#state.channel;
  }

  /** The position of the last event handed over; pass it as `since` to go on later. */
  get position() {
    return this.#state.queue.position;
  }

  [Symbol.asyncIterator]() {
    this.#takeBy("a loop");
    return this;
  }

  // Two that take would have half of the values each.
  #takeBy(taker) {
    if (this.#taker && this.#taker !== taker) throw new TypeError(`${this.channel}: ${this.#taker} takes the values`);
    this.#taker = taker;
  }

  /** The next value; of several calls at once, each has its own. */
  next() {
    return (this.#turn = this.#turn.catch(() => {}).then(() => this.#next()));
  }

  async #next() {
    const { queue } = this.#state;
    for (;;) {
      if (queue.isOver && !queue.error) return { done: true, value: undefined };
      const value = this.#state.take();
      if (value) {
        this.#owner.serve(this.#state);
        return { done: false, value };
      }
      if (queue.error) throw queue.error;
      await new Promise((resolve) => (this.#wake = resolve));
    }
  }

  async return(value) {
    this.close();
    return { done: true, value };
  }

  /** Leave the room. */
  close() {
    this.#owner.leave(this.#state);
  }

  /**
   * Call `listener` with every value of a type (`event`, `gap`, `recovered`, `interrupted`, `state`, …, `*` for all), and
   * with the error for `error`; without such a listener the error is the page's. Returns a function that ends this.
   */
  on(type, listener) {
    const isFirst = !this.#taker;
    this.#takeBy("a callback");
    const listeners = this.#of(type);
    this.#listeners.set(type, listeners.add(listener));
    if (isFirst) this.#pump();
    return () => listeners.delete(listener);
  }

  #of(type) {
    return this.#listeners.get(type) ?? new Set();
  }

  async #pump() {
    await null; // listeners that are added in one go hear all values
    try {
      for (let it; !(it = await this.next()).done; ) tell([...this.#of(it.value.type), ...this.#of("*")], it.value);
      tell(this.#of("end"));
    } catch (error) {
      if (this.#of("error").size) tell(this.#of("error"), error);
      else fault(error);
    }
  }
}
