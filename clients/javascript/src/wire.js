// Messages of the connection: text to values. Everything that comes is input, and may be of any form.

import { refused } from "./errors.js";
import { OF_A_ROOM, OF_THE_CONNECTION, PASSING } from "./words.js";

const LONG = /\d{16}/;
const TOKENS = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;
const INTEGER = /^-?\d+$/;

/** JSON with the integers that a double cannot hold left as text. */
export function parse(text) {
  const read = LONG.test(text)
    ? text.replace(TOKENS, (it) => (INTEGER.test(it) && !Number.isSafeInteger(Number(it)) ? `"${it}"` : it))
    : text;
  return JSON.parse(read);
}

const isObject = (it) => typeof it === "object" && it !== null && !Array.isArray(it);
export const text = (it) => (typeof it === "string" ? it : null);
export const whole = (it) => (Number.isSafeInteger(it) && it >= 0 ? it : null);

/** An answer or error `{asked, heard}`, a notice `{room, event, data}`, an event `{room, of}`, or null: no meaning here. */
export function decode(frame) {
  let value;
  try {
    value = parse(frame);
  } catch {
    return null;
  }
  if (!isObject(value) || !isObject(value.data ?? {})) return null;
  const data = value.data ?? {};
  if (value.type === "event") return event(value, data);
  // Only a message without room and position answers a request: a line may be typed by hand, with any id.
  if ("position" in value || (value.room ?? null) !== null) return null;
  const asked = text(value.correlation_id);
  if (value.type === "error") {
    const code = text(value.error_code) || "INTERNAL_ERROR";
    const retryAfterMs = whole(data.retry_after_ms);
    const isPassing = PASSING.has(code) || retryAfterMs !== null;
    return { asked, heard: refused({ code, sentence: text(value.error_message) ?? "", retryAfterMs, isPassing }) };
  }
  return asked !== null && (value.type === "response" || value.type === "pong") ? { asked, heard: data } : null;
}

function event(value, data) {
  const [name, room, position] = [text(value.event), text(value.room), text(value.position)];
  if (name === null) return null;
  const notice = { event: name, room, data };
  if (room === null) return OF_THE_CONNECTION.has(name) && position === null ? notice : null;
  if (OF_A_ROOM.has(name) && position === null) return notice;
  const [id, timestamp] = [text(value.id) ?? "", text(value.timestamp) ?? ""];
  const of = { type: "event", channel: room, id, event: name, data, timestamp, position, previous: text(value.previous) };
  return { room, of };
}
