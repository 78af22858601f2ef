/** Live events from an edge, without a hole: https://www.rfc-editor.org/rfc/rfc6455 with docs/protocol.md on top. */

/** A map of event names to their data, as `edgebus schema typescript SERVICE` writes it. */
export type Events = Record<string, unknown>;

/** An event of a channel. Integers beyond 2^53 in `data` are text. */
export type EventOf<E, N extends keyof E = keyof E> = {
  [K in N]: {
    type: "event";
    channel: string;
    id: string;
    event: K;
    data: E[K];
    /** ISO 8601, UTC. */
    timestamp: string;
    /** Where the event stands in the log of its channel; null on a channel without a log. */
    position: string | null;
    previous: string | null;
  };
}[N];

/** Events may be missing here: behind `from`, up to `to`. Null is not known. */
export interface Gap {
  type: "gap";
  channel: string;
  from: string | null;
  to: string | null;
  reason: "trimmed" | "diverged" | "unknown" | "limit" | "slow" | "live" | "skipped" | (string & {});
}

/** No event comes for now: the connection went, the edge lost Redis, or the caller takes too slowly. */
export interface Interrupted {
  type: "interrupted";
  channel: string;
  cause: "link" | "bus" | "slow";
  detail: string;
}

/** The stream goes on, and nothing was missed; `replayed` events of the log follow, then live ones. */
export interface Recovered {
  type: "recovered";
  channel: string;
  replayed: number;
  /** When this Redis began, where the span that was asked for reaches further back; else null. */
  began: string | null;
}

/** The newest event of each key of the channel, in place of all before. */
export interface State<E> {
  type: "state";
  channel: string;
  position: string;
  events: EventOf<E>[];
  truncated: boolean;
  reason: string | null;
}

/** Who comes into the room and leaves, for a subscription with `presence`. */
export type Presence =
  | { type: "joined"; channel: string; user: string; info: Record<string, unknown>; since: string }
  | { type: "left"; channel: string; user: string; reason: string | null }
  | { type: "presence"; channel: string; count: number; joined: number; left: number; reason: string };

export type Value<E = Events> = EventOf<E> | Gap | Interrupted | Recovered | State<E> | Presence;

export interface SubscribeOptions {
  /** A position (coming back), a time with its offset, or a span such as `-15m` (a first look). */
  since?: string | null;
  /** So many of the newest events. */
  last?: number | null;
  /** The channel's state first, and in place of events that are missing. */
  state?: boolean;
  presence?: boolean | { user?: string; info?: Record<string, unknown>; notices?: boolean };
  /** `latest` for a channel that keeps one event alone. */
  kind?: "history" | "latest" | "live";
  signal?: AbortSignal;
}

type Of<E, T> = T extends "*" ? Value<E> : T extends "error" ? Error : T extends "end" ? undefined : Extract<Value<E>, { type: T }>;

/** One channel's values, in the order of its log: `for await`, or callbacks. Leaving the loop leaves the room. */
export interface Subscription<E = Events> extends AsyncIterableIterator<Value<E>> {
  readonly channel: string;
  /** Of the last event handed over; give it as `since` to go on later. */
  readonly position: string | null;
  on<T extends Value<E>["type"] | "*" | "error" | "end">(type: T, listener: (value: Of<E, T>) => void): () => void;
  close(): void;
}

export type ConnectionState = "connecting" | "connected" | "waiting" | "closed";

export interface ConnectOptions {
  /** A token, or a function that returns one: asked before every connection, and before a token ends. */
  token?: string | (() => string | Promise<string>) | null;
  signal?: AbortSignal;
  /** How many values may wait in one subscription (2,000, at least 16); above, the log is read later. */
  queueLimit?: number;
  openTimeoutMs?: number;
  requestTimeoutMs?: number;
  /** Silence after which the edge is asked for a sign of life. */
  pingIntervalMs?: number;
  pingTimeoutMs?: number;
  maxRequestBytes?: number;
  /** In place of the global one: Node 20 has none unless run with `--experimental-websocket`. */
  WebSocket?: new (url: string) => unknown;
  /** Milliseconds, monotonic. */
  clock?: () => number;
}

export interface CallOptions {
  timeoutMs?: number;
  signal?: AbortSignal;
}

export interface Published {
  status: "published";
  id: string;
  positions: Record<string, string | null>;
  position: string | null;
}

export interface Client {
  readonly state: ConnectionState;
  /** Why the client is closed, where an edge dismissed it. */
  readonly error: ClientError | null;
  on(type: "state", listener: (change: { state: ConnectionState; reason?: string; retryInMs?: number }) => void): () => void;
  subscribe<E = Events>(channel: string, options?: SubscribeOptions): Subscription<E>;
  request<A = unknown>(verb: string, data?: Record<string, unknown>, options?: CallOptions): Promise<A>;
  publish(event: string, data?: Record<string, unknown>, options?: CallOptions & { id?: string }): Promise<Published>;
  close(): void;
}

/** Connects at once, and again for ever; throws for an address that is none. */
export function connect(url: string | URL, options?: ConnectOptions): Client;

export class ClientError extends Error {}
export class Refused extends ClientError {
  readonly code: string;
  readonly sentence: string;
  readonly retryAfterMs: number | null;
  /** Whether the same may go well later. */
  readonly isPassing: boolean;
}
export class Disconnected extends ClientError {}
export class RequestTimeout extends ClientError {}
export class Unsendable extends ClientError {}
export class AlreadyFollowed extends ClientError {}
export class Dismissed extends ClientError {
  readonly code: number;
}
export class AuthenticationFailed extends Dismissed {}
export class ClientClosed extends ClientError {}
