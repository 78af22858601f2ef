// What no conversation over a real socket shows: time, signals, the page's network, callbacks. `node --test` runs these.
import assert from "node:assert/strict";
import { test } from "node:test";
import { connect, ClientClosed, Disconnected, Refused, RequestTimeout, Unsendable } from "../../../clients/javascript/src/index.js";
import { canonicalName } from "../../../clients/javascript/src/names.js";
import { parse } from "../../../clients/javascript/src/wire.js";

const turn = () => new Promise((resolve) => setImmediate(resolve));
async function until(fact) {
  for (let turns = 0; turns < 1000; turns += 1) {
    const found = fact();
    if (found) return found;
    await turn();
  }
  assert.fail(`never: ${fact}`);
}

/** A socket in the test's hands. */
class Socket {
  static all = [];
  readyState = 0;
  sent = [];
  constructor(url) {
    this.url = url;
    Socket.all.push(this);
  }
  send(text) {
    this.sent.push(JSON.parse(text));
  }
  close() {
    this.isClosed = true;
  }
  open() {
    this.readyState = 1;
    this.onopen();
    return this;
  }
  say(frame) {
    this.onmessage?.({ data: JSON.stringify(frame) });
  }
  answer(asked, data = {}) {
    this.say({ type: "response", correlation_id: asked.id, data });
  }
  end(code, reason = "") {
    this.readyState = 3;
    this.onclose?.({ code, reason });
  }
  async asked(verb) {
    const found = await until(() => this.sent.find((it) => it.event === verb && !it.isTaken));
    found.isTaken = true;
    return found;
  }
}

/** A clock and timers that move when the test says so. */
function virtual(t) {
  t.mock.timers.enable({ apis: ["setTimeout", "setInterval"] });
  t.mock.method(Math, "random", () => 0.5);
  const time = { now: 0 };
  time.pass = async (ms) => {
    time.now += ms;
    t.mock.timers.tick(ms);
    await turn();
  };
  return time;
}

function begin(t, options = {}) {
  const time = virtual(t);
  Socket.all = [];
  const bus = connect("ws://edge", { WebSocket: Socket, clock: () => time.now, ...options });
  t.after(() => bus.close());
  return { time, bus, socket: (number) => until(() => Socket.all[number]) };
}

test("an address that is none", () => assert.throws(() => connect("http://edge?token=secret"), (it) => it instanceof TypeError && !it.message.includes("secret")));

test("integers beyond 2^53 are left as text, and nothing else is touched", () => {
  const text = '{"a":9007199254740993,"b":-12345678901234567890,"c":"id 12345678901234567890","d":1.2345678901234567890,"e":9007199254740991,"f":[1e20],"g\\"12345678901234567":1}';
  assert.deepEqual(parse(text), {
    a: "9007199254740993", b: "-12345678901234567890", c: "id 12345678901234567890",
    d: 1.234567890123456789, e: 9007199254740991, f: [1e20], 'g"12345678901234567': 1,
  });
});

test("one spelling of an id", () => {
  const room = "workflow:my%20project/%C3%BC";
  for (const name of ["workflow:my project/ü", "workflow:my%20project%2F%c3%bc", room]) assert.equal(canonicalName(name), room);
  assert.equal(canonicalName("workflow:it's (me)!*x"), "workflow:it%27s%20%28me%29%21%2Ax");
  for (const name of ["global", "workflow:100%", "workflow:wf_*", "workflow:%ff"]) assert.equal(canonicalName(name), name);
});

test("waits with full jitter, and says so", async (t) => {
  const { time, bus, socket } = begin(t);
  const told = [];
  bus.on("state", (it) => told.push([it.state, it.retryInMs]));
  for (const [number, waitMs] of [250, 500, 1000].entries()) {
    (await socket(number)).end(1006);
    await until(() => bus.state === "waiting");
    assert.deepEqual(told.at(-1), ["waiting", waitMs]);
    await time.pass(waitMs - 1);
    assert.equal(Socket.all.length, number + 1);
    await time.pass(1);
  }
});

test("a network that comes back is tried at once", async (t) => {
  const page = new EventTarget();
  globalThis.addEventListener = page.addEventListener.bind(page);
  globalThis.removeEventListener = page.removeEventListener.bind(page);
  t.after(() => { delete globalThis.addEventListener; delete globalThis.removeEventListener; });
  const { bus, socket } = begin(t);
  (await socket(0)).end(1006);
  await until(() => bus.state === "waiting");
  page.dispatchEvent(new Event("online"));
  (await socket(1)).open();
  await until(() => bus.state === "connected");
});

test("a timer that was late means that the machine slept: the edge is asked for a sign of life", async (t) => {
  const { time, bus, socket } = begin(t);
  const first = (await socket(0)).open();
  await until(() => bus.state === "connected");
  await time.pass(5_000);
  assert.equal(first.sent.length, 0); // in time, and no probe
  time.now += 60_000;
  await time.pass(5_000);
  await first.asked("ping");
  await time.pass(5_000);
  assert.equal(bus.state, "waiting"); // nothing was heard
  assert.equal(first.isClosed, true);
});

test("silence is broken by a ping, and any message is a sign of life", async (t) => {
  const { time, bus, socket } = begin(t);
  const first = (await socket(0)).open();
  await until(() => bus.state === "connected");
  for (let s = 0; s < 20; s += 5) await time.pass(5_000);
  await first.asked("ping");
  await time.pass(5_000);
  first.say({ type: "event", event: "bus.restored", data: { generation: 1 } });
  for (let s = 0; s < 15; s += 5) await time.pass(5_000);
  assert.equal(bus.state, "connected");
});

test("a request fails at once when the connection goes, and is not repeated", async (t) => {
  const { bus, socket } = begin(t);
  assert.equal(await bus.request("x").catch((it) => it instanceof Disconnected), true);
  const first = (await socket(0)).open();
  await until(() => bus.state === "connected");
  const asked = bus.request("get", { a: 1 });
  await first.asked("get");
  first.end(1006);
  await assert.rejects(asked, Disconnected);
});

test("a request has a limit, a signal, and limits of size", async (t) => {
  const { time, bus, socket } = begin(t);
  const first = (await socket(0)).open();
  await until(() => bus.state === "connected");
  const late = bus.request("slow", {}, { timeoutMs: 100 });
  await first.asked("slow");
  const rejected = assert.rejects(late, RequestTimeout);
  await time.pass(100);
  await rejected;
  const controller = new AbortController();
  const ended = bus.request("slow", {}, { signal: controller.signal });
  controller.abort(new Error("enough"));
  await assert.rejects(ended, /enough/);
  await assert.rejects(bus.request("big", { text: "x".repeat(70_000) }), Unsendable);
  const loop = {};
  loop.loop = loop;
  await assert.rejects(bus.request("loop", loop), Unsendable);
  assert.equal(bus.state, "connected");
});

test("a message that is too long for the edge fails alone", async (t) => {
  const { time, bus, socket } = begin(t);
  const first = (await socket(0)).open();
  await until(() => bus.state === "connected");
  const big = bus.request("big", { text: "x".repeat(2_000) });
  await first.asked("big");
  first.end(1009, "too long");
  await assert.rejects(big, Unsendable);
  await time.pass(1_000);
  (await socket(1)).open();
  await until(() => bus.state === "connected");
  await assert.rejects(bus.request("big", { text: "x".repeat(2_000) }), Unsendable); // and is not sent again
});

test("callbacks hear all values, and a fault of one harms no other", async (t) => {
  const { bus, socket } = begin(t);
  const heard = [];
  const subscription = bus.subscribe("global");
  const off = subscription.on("event", (it) => heard.push(it.id));
  subscription.on("*", (it) => it?.type === "event" && heard.push("*"));
  const first = (await socket(0)).open();
  first.answer(await first.asked("subscribe"), { position: "1-1" });
  first.say({ type: "event", event: "e", id: "a", room: "global", data: {}, position: "2-2", previous: "1-1" });
  await until(() => heard.length === 2);
  off();
  first.say({ type: "event", event: "e", id: "b", room: "global", data: {}, position: "3-3", previous: "2-2" });
  await until(() => heard.length === 3);
  assert.deepEqual(heard, ["a", "*", "*"]);
});

test("too many values: the room is left, and the log read later", async (t) => {
  const { bus, socket } = begin(t, { queueLimit: 16 });
  const subscription = bus.subscribe("global");
  const first = (await socket(0)).open();
  first.answer(await first.asked("subscribe"), { position: "0-0" });
  for (let n = 1; n <= 20; n += 1) {
    first.say({ type: "event", event: "e", id: String(n), room: "global", data: {}, position: `${n}-1`, previous: n > 1 ? `${n - 1}-1` : "0-0" });
  }
  first.answer(await first.asked("unsubscribe"));
  const types = [];
  for (let n = 0; n < 17; n += 1) types.push((await subscription.next()).value.type);
  assert.deepEqual(types, [...Array(16).fill("event"), "interrupted"]);
  assert.deepEqual((await first.asked("subscribe")).data, { channel: "global", since: "16-1" });
});

test("leaving the loop leaves the room; a signal does, too", async (t) => {
  const { bus, socket } = begin(t);
  const controller = new AbortController();
  const aborted = bus.subscribe("workflow:1", { signal: controller.signal });
  const subscription = bus.subscribe("global");
  const first = (await socket(0)).open();
  for (const position of ["1-1", "1-1"]) first.answer(await first.asked("subscribe"), { position });
  first.say({ type: "event", event: "e", id: "a", room: "global", data: {}, position: "2-2", previous: "1-1" });
  for await (const it of subscription) if (it.type === "event") break;
  assert.deepEqual((await first.asked("unsubscribe")).data, { channel: "global" });
  controller.abort();
  assert.deepEqual((await first.asked("unsubscribe")).data, { channel: "workflow:1" });
  assert.equal((await aborted.next()).done, true);
});

test("an unanswered publish is repeated with its id on the next connection", async (t) => {
  const { time, bus, socket } = begin(t);
  const published = bus.publish("cursor.moved", { x: 1 }, { id: "p1" });
  const first = (await socket(0)).open();
  assert.equal((await first.asked("publish")).id, "p1");
  first.end(1006);
  await until(() => bus.state === "waiting");
  await time.pass(250);
  const second = (await socket(1)).open();
  const asked = await second.asked("publish");
  assert.deepEqual([asked.id, asked.data], ["p1", { event: "cursor.moved", data: { x: 1 } }]);
  second.say({ type: "error", correlation_id: "p1", error_code: "UNAVAILABLE", error_message: "", data: { retry_after_ms: 100 } });
  await turn();
  await time.pass(100);
  second.answer(await second.asked("publish"), { status: "published", id: "p1" });
  assert.equal((await published).id, "p1");
  const refused = bus.publish("cursor.moved", { x: 2 }, { id: "p2" });
  const again = await second.asked("publish");
  second.say({ type: "error", correlation_id: again.id, error_code: "FORBIDDEN", error_message: "no", data: {} });
  await assert.rejects(refused, Refused);
});

test("a token's function that fails is asked again", async (t) => {
  let calls = 0;
  const { time, bus, socket } = begin(t, { token: () => { if (++calls < 3) throw new Error("no network"); return "t"; } });
  await until(() => bus.state === "waiting");
  await time.pass(250);
  await until(() => bus.state === "waiting" && calls === 2);
  await time.pass(500);
  const first = (await socket(0)).open();
  assert.deepEqual((await first.asked("auth")).data, { token: "t" });
});

test("closing ends iterators, publishes and requests", async (t) => {
  const { bus, socket } = begin(t);
  const subscription = bus.subscribe("global");
  const first = (await socket(0)).open();
  await until(() => bus.state === "connected");
  const [asked, published] = [bus.request("x"), bus.publish("e")];
  bus.close();
  assert.equal((await subscription.next()).done, true);
  await assert.rejects(asked, Disconnected);
  await assert.rejects(published, ClientClosed);
  assert.throws(() => bus.subscribe("global"), ClientClosed);
  assert.equal(bus.state, "closed");
  assert.equal(first.isClosed, true);
  assert.equal(Socket.all.length, 1);
});

test("closing while the token is fetched: no connection afterwards, and the token is shown to nobody", async (t) => {
  let give;
  const { bus } = begin(t, { token: () => new Promise((resolve) => (give = resolve)) });
  await until(() => give);
  bus.close();
  give("t");
  for (let turns = 0; turns < 10; turns += 1) await turn();
  assert.equal(Socket.all.length, 0);
  assert.equal(bus.state, "closed");
});

/** Have what is begun and not ended counted: timers, and listeners of a signal. */
function counted(t) {
  const timers = new Set();
  for (const [begin, end] of [["setTimeout", "clearTimeout"], ["setInterval", "clearInterval"]]) {
    const [begun, ended] = [globalThis[begin], globalThis[end]];
    t.mock.method(globalThis, begin, (work, ms) => {
      const timer = begun(() => { if (begin === "setTimeout") timers.delete(timer); work(); }, ms);
      timers.add(timer);
      return timer;
    });
    t.mock.method(globalThis, end, (timer) => { timers.delete(timer); ended(timer); });
  }
  return timers;
}

test("closing leaves no timer behind, whatever was under way", async (t) => {
  const { time, bus, socket } = begin(t);
  bus.close();
  const timers = counted(t);
  const options = { WebSocket: Socket, clock: () => time.now };
  const opening = connect("ws://edge", options);
  const waiting = connect("ws://edge", options);
  const probing = connect("ws://edge", options);
  await until(() => Socket.all.length === 3);
  waiting.on("state", (it) => it.state === "waiting" && waiting.close());
  Socket.all[1].end(1006);
  Socket.all[2].open();
  await until(() => probing.state === "connected" && waiting.state === "closed");
  for (let n = 0; n < 12; n += 1) probing.request("x").catch(() => {});
  probing.subscribe("global"); // waits for the edge's pace
  time.now += 60_000;
  await time.pass(5_000);
  await Socket.all[2].asked("ping");
  for (const it of [opening, probing]) it.close();
  for (let turns = 0; turns < 10; turns += 1) await turn();
  assert.equal(timers.size, 0);
  assert.ok((await socket(0)).isClosed);
});

test("a signal that lives long keeps nothing of what is over", async (t) => {
  const { signal } = new AbortController();
  let count = 0;
  const add = signal.addEventListener.bind(signal);
  signal.addEventListener = (type, listener, { signal: until } = {}) => {
    count += 1;
    until?.addEventListener("abort", () => (count -= 1));
    add(type, listener);
  };
  signal.removeEventListener = () => (count -= 1);
  const { bus } = begin(t);
  const other = connect("ws://edge", { WebSocket: Socket, signal });
  bus.subscribe("global", { signal }).close();
  other.close();
  assert.equal(count, 0);
});

/** Faults that listeners had, in place of the page's own handler. */
function faults(t) {
  const heard = [];
  const before = process.listeners("uncaughtException");
  process.removeAllListeners("uncaughtException");
  process.on("uncaughtException", (it) => heard.push(it.message));
  t.after(() => {
    process.removeAllListeners("uncaughtException");
    for (const it of before) process.on("uncaughtException", it);
  });
  return heard;
}

test("a listener of the connection that throws ends nothing", async (t) => {
  const { time, bus, socket } = begin(t);
  const told = [];
  bus.on("state", () => { throw new Error("a fault of the page's"); });
  bus.on("state", (it) => told.push(it.state));
  (await socket(0)).open();
  await until(() => bus.state === "connected");
  Socket.all[0].end(1006);
  await until(() => bus.state === "waiting");
  t.mock.timers.reset(); // the faults are told by timers: not in this test
  const heard = faults(t);
  bus.close();
  await until(() => heard.length);
  assert.deepEqual(told, ["connected", "waiting", "closed"]);
  assert.equal(time.now, 0);
});

test("a token that comes after its connection: the next connection's is renewed all the same, one call at a time", async (t) => {
  const gives = [];
  const { time, bus, socket } = begin(t, { token: () => new Promise((resolve) => gives.push(resolve)) });
  await until(() => gives.length === 1);
  gives[0]("t1");
  const first = (await socket(0)).open();
  first.answer(await first.asked("auth"));
  await until(() => bus.state === "connected");
  const expiring = { type: "event", event: "auth.expiring", data: { expires_in_ms: 30_000 } };
  first.say(expiring);
  await until(() => gives.length === 2);
  first.end(1006);
  await until(() => bus.state === "waiting");
  await time.pass(250);
  for (let turns = 0; turns < 10; turns += 1) await turn();
  assert.equal(gives.length, 2); // the call that is under way serves the new connection, too
  gives[1]("t2");
  const second = (await socket(1)).open();
  assert.deepEqual((await second.asked("auth")).data, { token: "t2" });
  second.answer(second.sent[0]);
  await until(() => bus.state === "connected");
  second.say(expiring);
  second.say(expiring);
  await until(() => gives.length === 3);
  gives[2]("t3");
  assert.deepEqual((await second.asked("auth")).data, { token: "t3" });
  for (let turns = 0; turns < 10; turns += 1) await turn();
  assert.equal(second.sent.length, 2);
  assert.equal(first.sent.length, 1);
});

const event = (n) => ({ type: "event", event: "e", id: String(n), room: "global", data: {}, position: `${n}-1`, previous: n > 1 ? `${n - 1}-1` : "0-0" });

test("several calls of next have a value each; a loop and callbacks do not share", async (t) => {
  const { bus, socket } = begin(t);
  const subscription = bus.subscribe("global");
  const values = Promise.all([subscription.next(), subscription.next(), subscription.next()]);
  const first = (await socket(0)).open();
  first.answer(await first.asked("subscribe"), { position: "0-0" });
  for (const n of [1, 2, 3]) first.say(event(n));
  assert.deepEqual((await values).map((it) => it.value.id), ["1", "2", "3"]);
  subscription[Symbol.asyncIterator]();
  assert.throws(() => subscription.on("event", () => {}), TypeError);
  const other = bus.subscribe("workflow:1");
  other.on("event", () => {});
  assert.throws(() => other[Symbol.asyncIterator](), TypeError);
});

test("`*` hears values alone, and an error that nobody listens for is the page's", async (t) => {
  const { bus, socket } = begin(t);
  const heard = [];
  for (const channel of ["global", "workflow:1"]) bus.subscribe(channel).on("*", (it) => heard.push(it.type));
  const first = (await socket(0)).open();
  const asked = await first.asked("subscribe");
  t.mock.timers.reset();
  const told = faults(t);
  first.say({ type: "error", correlation_id: asked.id, error_code: "FORBIDDEN", error_message: "not you", data: {} });
  await until(() => told.length);
  bus.close();
  for (let turns = 0; turns < 10; turns += 1) await turn();
  assert.deepEqual([heard, told], [[], ["FORBIDDEN: not you"]]);
});

test("a caller that catches up before the edge's pace lets it leave joins again all the same", async (t) => {
  const { time, bus, socket } = begin(t, { queueLimit: 16 });
  const subscription = bus.subscribe("global");
  const first = (await socket(0)).open();
  first.answer(await first.asked("subscribe"), { position: "0-0" });
  for (let n = 0; n < 20; n += 1) bus.request("x").catch(() => {}); // the pace is used up
  for (let n = 1; n <= 17; n += 1) first.say(event(n));
  for (let n = 0; n < 17; n += 1) await subscription.next();
  await time.pass(1_000);
  await first.asked("unsubscribe");
  assert.deepEqual((await first.asked("subscribe")).data, { channel: "global", since: "16-1" });
});

test("an option that is undefined is one that was not given; a runtime without WebSocket is told at once", async (t) => {
  const { bus, socket } = begin(t, { queueLimit: undefined, openTimeoutMs: undefined });
  (await socket(0)).open();
  await until(() => bus.state === "connected");
  const published = bus.publish("e", {}, { timeoutMs: undefined });
  Socket.all[0].answer(await Socket.all[0].asked("publish"), { id: "p" });
  assert.equal((await published).id, "p");
  const { WebSocket } = globalThis;
  delete globalThis.WebSocket;
  t.after(() => WebSocket && (globalThis.WebSocket = WebSocket));
  assert.throws(() => connect("ws://edge"), /WebSocket/);
});

test("an edge that says at once again and again makes no storm", async (t) => {
  const { time, bus, socket } = begin(t);
  const waits = [];
  bus.on("state", (it) => it.state === "waiting" && waits.push(it.retryInMs));
  for (let number = 0; number < 4; number += 1) {
    const one = (await socket(number)).open();
    await until(() => bus.state === "connected");
    one.say({ type: "event", event: "edge.draining", data: { reconnect_after_ms: 10 } });
    one.end(1012);
    await until(() => bus.state === "waiting");
    await time.pass(waits.at(-1));
  }
  assert.deepEqual(waits, [10, 500, 1000, 2000]);
});

test("a page without https can publish", async (t) => {
  t.mock.method(crypto, "randomUUID", () => assert.fail("there for secure contexts alone"));
  const { bus, socket } = begin(t);
  for (let n = 0; n < 2; n += 1) bus.publish("e").catch(() => {});
  const first = (await socket(0)).open();
  const ids = [(await first.asked("publish")).id, (await first.asked("publish")).id];
  assert.equal(new Set(ids).size, 2);
});

test("connections of before are forgotten", async (t) => {
  const { time, bus, socket } = begin(t);
  (await socket(0)).end(1006);
  await until(() => bus.state === "waiting");
  await time.pass(250);
  (await socket(1)).open();
  await until(() => bus.state === "connected");
  Socket.all[0].isClosed = false;
  bus.close();
  assert.deepEqual(Socket.all.map((it) => it.isClosed), [false, true]);
});
