// What is due between one subscription and the edge, and what the edge's messages mean. Knows no socket and no clock.
//
// - A subscription resumes at the last event that came. A repeated event, known by its position, is dropped.
// - When too many values wait, the room is left, and the log read later: nothing grows, and no event is lost unseen.
// - A gap is told once the first event behind it is known. A state is one value, handed over when all of it has come.

import { canonicalName } from "./names.js";
import { Queue } from "./queue.js";
import { Sequencer, isPosition } from "./sequencer.js";
import { text, whole } from "./wire.js";

const UNITS = { ms: 1, s: 1e3, m: 6e4, h: 36e5, d: 864e5 };

/** A span that still begins where it began `elapsedMs` ago; any other beginning unchanged. */
function stretched(since, elapsedMs) {
  const [, count, unit] = /^-(\d+)(ms|s|m|h|d)$/.exec(since) ?? [];
  return count && elapsedMs > 0 ? `-${Math.ceil((count * UNITS[unit] + elapsedMs) / 1000)}s` : since;
}

export class SubscriptionState {
  // away: to be subscribed; asked; joined; paused: the edge said later; full: to be left; left, until caught up.
  phase = "away";
  hasJoined = false;
  #isLive = false;
  #wantsReplay = false;
  #isStale = false;
  #snapshot = null;
  #gap = null;
  #lost = null;
  #replaying = 0;
  #began = null;

  constructor(channel, { since = null, last = null, state = false, presence, kind, limit, nowMs }) {
    const at = isPosition(since) ? since : null;
    Object.assign(this, { channel, room: canonicalName(channel), since, last, withState: state, presence, nowMs });
    this.queue = new Queue(channel, limit, at);
    this.sequencer = new Sequencer(at, kind === "latest");
  }

  take() {
    const value = this.queue.take();
    if (value && this.phase === "left" && !this.queue.isBehind) this.phase = "away";
    return value;
  }

  // Commands to the edge.

  get hasCommand() {
    return this.phase === "away" || this.phase === "full";
  }

  get isKnown() {
    return ["asked", "joined", "full"].includes(this.phase);
  }

  /** Verb and data of the command that is due. */
  command(nowMs) {
    if (this.phase === "full") {
      // The caller may have caught up while this waited for the edge's pace: no later value would bring it back.
      this.phase = this.queue.isBehind ? "left" : "away";
      return ["unsubscribe", { channel: this.room }];
    }
    this.phase = "asked";
    const start = this.#start(nowMs);
    this.#wantsReplay = Object.keys(start).length > 0;
    const { presence } = this;
    return ["subscribe", { channel: this.room, ...start, ...(presence && { presence }), ...(this.withState && { state: true }) }];
  }

  #start(nowMs) {
    if (this.#isStale || (this.hasJoined && (this.#isLive || this.sequencer.isLatest))) return {};
    if (this.sequencer.at !== null) return { since: this.sequencer.at };
    if (this.last !== null) {
      if (this.#lost) this.#lost.isAskedAgain = true;
      return { last: this.last };
    }
    return this.since === null ? {} : { since: stretched(this.since, nowMs - this.nowMs) };
  }

  // Answers of the edge.

  joined(data) {
    if (this.phase !== "asked") return;
    const [position, replayed] = [text(data.position), whole(data.replayed) ?? 0];
    const wasIn = this.hasJoined;
    this.hasJoined = true;
    this.#tellLost();
    this.phase = "joined";
    this.#isLive = position === null;
    this.#replaying = replayed;
    this.#gap = null;
    this.sequencer.confirmed();
    if (this.withState && position !== null && !(this.#wantsReplay && data.recovered === true)) this.#beginState(data, position);
    else if (position === null) this.#joinedLive(wasIn);
    else this.#joinedLog(data, replayed, position, wasIn);
  }

  #joinedLive(wasIn) {
    if (wasIn || this.#wantsReplay) this.#tellGapBetween(null, null, "live");
    else if (this.queue.isInterrupted) this.#recovered(0);
  }

  #joinedLog(data, replayed, position, wasIn) {
    const before = this.#began;
    this.#began = text(data.began);
    const isAnother = wasIn && this.#began !== null && this.#began !== before;
    const isWhole = (data.recovered ?? !this.#wantsReplay) === true || text(data.gap_after) !== null;
    if (!isWhole || isAnother) this.#gap = { from: this.sequencer.at, reason: String(data.reason || "unknown") };
    else if (this.#wantsReplay || this.queue.isInterrupted) this.#recovered(replayed, replayed ? null : position);
    if (replayed === 0) this.#stand(position);
    else if (this.sequencer.at === null && this.last !== null) this.#lost ??= { end: position };
  }

  #recovered(replayed, position = null) {
    this.#goOn({ type: "recovered", channel: this.channel, replayed, began: this.#began }, position);
  }

  #stand(position) {
    this.#follow(position, position);
    this.#tellLost();
    this.#tellGap(position);
    this.sequencer.stand(position);
    this.queue.stand(position);
  }

  refused() {
    if (this.phase === "asked") this.phase = "paused";
  }

  retry() {
    if (this.phase === "paused") this.phase = "away";
  }

  // The state of the channel.

  #beginState(data, position) {
    this.#replaying = 0;
    const left = whole(data.state);
    this.#snapshot = { position, left: left ?? 0, truncated: left === null || data.truncated === true, reason: text(data.reason), events: [] };
    this.#endState();
  }

  #endState() {
    if (!this.#snapshot || this.#snapshot.left > 0) return;
    const { position, events, truncated, reason } = this.#snapshot;
    this.#snapshot = null;
    if (!this.#goOn({ type: "state", channel: this.channel, position, events, truncated, reason }, position)) return;
    this.#isStale = false;
    this.sequencer.beginAnew(position);
  }

  toldState(data) {
    const position = text(data.position);
    if (this.phase !== "joined" || !this.withState || position === null) return;
    if (data.anew !== false) this.#beginState({ reason: "unknown", ...data }, position);
    else if (this.#snapshot) {
      this.#snapshot.left = whole(data.state) ?? 0;
      this.#snapshot.position = position;
      this.#snapshot.truncated ||= data.truncated === true;
      this.#endState();
    }
  }

  // Events and notices.

  arrived(event) {
    if (this.phase !== "joined") return;
    event = { ...event, channel: this.channel };
    const { position, previous } = event;
    if (this.#snapshot && position !== null) {
      this.#snapshot.events.push(event);
      this.#snapshot.left -= 1;
      this.#endState();
    } else if (position === null) this.#put({ value: event });
    else {
      const step = this.sequencer.judge(position, previous);
      if (step !== "duplicate" && !this.#accept(event, step)) return;
      this.#follow(position, previous);
      this.sequencer.advance(position);
      this.#countReplayed();
    }
  }

  #accept(event, step) {
    const { position } = event;
    const entries = [{ value: event, position }];
    // A gap and the event behind it wait together, or the room is left before either.
    if (this.#gap) entries.unshift({ value: this.#gapOf(this.#gap.from, position, this.#gap.reason) });
    else if (step === "gap") {
      const reason = this.sequencer.isLatest ? "diverged" : "skipped";
      entries.unshift({ value: this.#gapOf(this.sequencer.at, position, reason) });
    }
    if (!this.#put(...entries)) return false;
    if (this.#gap) {
      this.#gap = null;
      this.queue.isInterrupted = false;
    }
    this.sequencer.remember(position);
    return true;
  }

  #countReplayed() {
    if (this.#replaying === 0 || --this.#replaying > 0) return;
    this.#tellGap(this.sequencer.at);
    this.#tellLost();
  }

  toldGap(data) {
    if (this.phase !== "joined") return;
    const [from, to, reason] = [text(data.from), text(data.to), data.reason];
    if (this.sequencer.gapTold(from, to, reason)) this.#gap = null;
    this.#tellGapBetween(from, to, String(reason || "unknown"));
    if (this.withState && this.phase === "joined") {
      this.#snapshot = null;
      this.#isStale = true;
      this.phase = "away";
    }
  }

  toldOfUsers(event, data) {
    if (this.phase === "joined") this.#put({ value: { ...data, type: event.slice("room.".length), channel: this.channel } });
  }

  interrupted(cause, detail) {
    if (cause === "link") {
      this.#snapshot = null;
      this.phase = this.queue.isBehind ? "left" : "away";
    }
    if (cause === "bus" || this.hasJoined) this.queue.interrupt(cause, detail);
  }

  restored() {
    if (this.phase === "joined" && this.queue.isInterrupted) this.#recovered(0);
  }

  // Gaps that are told later.

  #gapOf(from, to, reason) {
    return { type: "gap", channel: this.channel, from, to, reason };
  }

  #tellGapBetween(from, to, reason, position = null) {
    this.#goOn(this.#gapOf(from, to, reason), position);
  }

  #tellGap(to) {
    const gap = this.#gap;
    this.#gap = null;
    if (gap) this.#tellGapBetween(gap.from, to, gap.reason, to);
  }

  // A replay of the `last` events was confirmed, and none of it came: the same number is asked for again, and may no
  // longer reach back to where the lost one ended.
  #follow(position, previous) {
    const lost = this.#lost;
    if (!lost) return;
    lost.first ??= position;
    if (!lost.isAskedAgain || lost.end === position || lost.end === previous) this.#lost = null;
  }

  #tellLost() {
    const lost = this.#lost;
    if (!lost?.first) return;
    this.#lost = null;
    this.#tellGapBetween(lost.end, lost.first, "limit");
  }

  #put(...entries) {
    return this.queue.put(...entries) || !(this.phase = "full");
  }

  #goOn(value, position = null) {
    return this.#put({ value, position }) && !(this.queue.isInterrupted = false);
  }
}
