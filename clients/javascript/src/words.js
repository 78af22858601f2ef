// Words of the wire, as bus/words.py has them; tests/clients/test_javascript.py compares the two.

/** Close codes after which a client stays away. After any other code it comes back. */
export const FOR_GOOD = new Set([1007, 1008, 1009, 3503, 4001]);

/** Error codes of a request that may go well later. */
export const PASSING = new Set(["UNAVAILABLE", "RATE_LIMIT_EXCEEDED", "TIMEOUT", "INTERNAL_ERROR"]);

/** Error codes about the token; the edge closes after these. */
export const ABOUT_THE_TOKEN = new Set(["AUTH_REQUIRED", "AUTH_FAILED"]);

/** Notices of the connection; a notice of a room begins with `room.`. Neither kind has a position. */
export const OF_THE_CONNECTION = new Set([
  "session.created",
  "edge.draining",
  "bus.degraded",
  "bus.restored",
  "auth.expiring",
]);

/** Notices of a room. */
export const OF_A_ROOM = new Set(["room.gap", "room.left", "room.joined", "room.presence", "room.state"]);
