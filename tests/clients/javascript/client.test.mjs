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
