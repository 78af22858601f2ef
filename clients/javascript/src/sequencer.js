// The order of one channel's events. Positions are compared by identity: after a failover the smaller may be the newer.

const RECENT = 4096;
const POSITION = /^\d{1,20}-\d{1,20}$/;

export const isPosition = (it) => typeof it === "string" && POSITION.test(it);

/** Whether a `latest` channel shows an older event now than the one at `at`. */
function wentBack(at, position) {
  if (!isPosition(at) || !isPosition(position) || at.endsWith("-0")) return false;
  const [[a, b], [c, d]] = [at, position].map((it) => it.split("-").map(BigInt));
  return c < a || (c === a && d < b);
}

export class Sequencer {
  #recent = new Set();
  #trustsNext = true;
  #backAt = null;

  /** `at`: position of the last event that the caller has. */
  constructor(at, isLatest) {
    this.at = at;
    this.isLatest = isLatest;
    if (at !== null) this.#recent.add(at);
  }

  /** A membership of the room begins: the edge says itself whether the first event follows. */
  confirmed() {
    this.#trustsNext = true;
    this.#backAt = null;
  }

  /** Take a gap that the edge told; true where the log went back to `to`. */
  gapTold(from, to, reason) {
    this.#trustsNext = true;
    if (reason !== "diverged" || from !== this.at || !wentBack(from, to)) return false;
    this.#backAt = to;
    return true;
  }

  /** `next`, `duplicate` or `gap`. */
  judge(position, previous) {
    const isBack = position === this.#backAt;
    this.#backAt = null;
    if (isBack) return "next";
    if (this.isLatest && position !== this.at && wentBack(this.at, position)) return "gap";
    if (this.#recent.has(position)) return "duplicate";
    if (this.#trustsNext || this.isLatest || this.at === null || previous === null) return "next";
    return previous === this.at || (previous === "0-0" && this.at.endsWith("-0")) ? "next" : "gap";
  }

  advance(position) {
    this.at = position;
    this.#trustsNext = false;
  }

  /** Go on from the end of the log; the event of a `latest` channel is still to come. */
  stand(position) {
    if (!this.isLatest) this.at = position;
  }

  /** Go on behind a state; no event of before is known any more. */
  beginAnew(position) {
    this.at = position;
    this.#recent = new Set([position]);
    this.#trustsNext = false;
    this.#backAt = null;
  }

  remember(position) {
    this.#recent.add(position);
    if (this.#recent.size > RECENT) this.#recent.delete(this.#recent.values().next().value);
  }
}
