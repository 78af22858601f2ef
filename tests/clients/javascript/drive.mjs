// Runs the client for a test: commands in as JSON lines, the client's values out. Time passes as timers end, and 100 times
// as fast; dice always fall on 0.
import { createInterface } from "node:readline";

const real = globalThis.setTimeout;
let now = 0;
globalThis.setTimeout = (work, ms = 0) => {
  const at = now + ms;
  return real(() => {
    now = Math.max(now, at);
    work();
  }, ms / 100);
};
Math.random = () => 0;

const { connect } = await import("../../../clients/javascript/src/index.js");
const clock = () => now;
// No conversation is about an edge that is silent: a machine that stops for a tenth of a second must not be taken for one.
const patience = { openTimeoutMs: 3_000_000, requestTimeoutMs: 3_000_000, pingTimeoutMs: 3_000_000 };
const say = (line) => process.stdout.write(JSON.stringify(line) + "\n");

async function listen(subscription) {
  try {
    for await (const value of subscription) say({ yield: value, position: subscription.position });
    say({ end: true });
  } catch (error) {
    say({ error: error.name, code: error.code ?? null });
  }
}

let [bus, heard, count] = [null, null, 0];
for await (const line of createInterface({ input: process.stdin })) {
  const { url, channel, options, tokens, over } = JSON.parse(line);
  if (over) {
    bus.close();
    await heard;
    say({ closed: true });
    continue;
  }
  count = 0;
  const token = tokens && (() => tokens[Math.min(count++, tokens.length - 1)]);
  bus = connect(url, { clock, ...patience, ...(tokens && { token: tokens.length > 1 ? token : tokens[0] }) });
  heard = listen(bus.subscribe(channel, options));
}
