// A subscription in the caller's hands: an async iterator over one channel's values, or callbacks.

export class Subscription {
  #state;
  #owner;
  #wake = () => {};
  #listeners = new Map();
  #isPumping = false;

  constructor(state, owner, signal) {
    this.#state = state;
    this.#owner = owner;
    state.changed = () => this.#wake();
    this.#stopAt(signal);
  }

  #stopAt(signal) {
    if (signal?.aborted) this.close();
    else signal?.addEventListener("abort", () => this.close(), { once: true });
  }

  get channel() {
    return this.#state.channel;
  }

  /** The position of the last event handed over; pass it as `since` to go on later. */
  get position() {
    return this.#state.queue.position;
  }

  [Symbol.asyncIterator]() {
    return this;
  }

  async next() {
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
   * with the error for `error`. Returns a function that ends this.
   */
  on(type, listener) {
    const listeners = this.#listeners.get(type) ?? new Set();
    this.#listeners.set(type, listeners.add(listener));
    if (!this.#isPumping) this.#pump();
    return () => listeners.delete(listener);
  }

  async #pump() {
    this.#isPumping = true;
    try {
      await null; // listeners that are added in one go hear all values
      for await (const value of this) this.#tell(value.type, value);
      this.#tell("end");
    } catch (error) {
      this.#tell("error", error);
    }
  }

  #tell(type, value) {
    for (const listener of [...(this.#listeners.get(type) ?? []), ...(this.#listeners.get("*") ?? [])]) {
      try {
        listener(value);
      } catch (error) {
        // A fault of a listener is the page's, and told as such; the others and later values go on.
        setTimeout(() => {
          throw error;
        });
      }
    }
  }
}
