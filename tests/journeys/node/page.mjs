// A page in Chromium, driven by lines of JSON: `{do, …}` in, `{ok}` or `{error}` out. What the page's console says is kept.

import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const require = createRequire(new URL("../../../clients/javascript/package.json", import.meta.url));
const { chromium } = require("playwright-core");
const axe = require("axe-core").source;

const browser = await chromium.launch({ executablePath: process.argv[2], args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"] });
const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, reducedMotion: "reduce", permissions: ["clipboard-read", "clipboard-write"] });
const page = await context.newPage();
const faults = [];
page.on("pageerror", (it) => faults.push(String(it)));
page.on("console", (it) => it.type() === "error" && faults.push(it.text()));
const session = await context.newCDPSession(page);

async function evaluate(expression) {
  const { result, exceptionDetails } = await session.send("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true });
  if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
  return result.value;
}

const VIOLATIONS = "axe.run().then((it) => it.violations.map((one) => `${one.id}: ${one.nodes.map((node) => node.html.slice(0, 200) + node.failureSummary)}`))";

// Evaluated by the protocol: scripts that a test adds would need a hole in the page's own policy.
const DO = {
  goto: async ({ url }) => void (await page.goto(url)),
  has: ({ selector, text, ms = 15_000 }) => page.locator(selector, { hasText: text }).first().waitFor({ timeout: ms }),
  gone: ({ selector, ms = 15_000 }) => page.locator(selector).first().waitFor({ state: "detached", timeout: ms }),
  click: ({ selector }) => page.locator(selector).first().click(),
  fill: ({ selector, text }) => page.locator(selector).first().fill(text),
  select: async ({ selector, value }) => void (await page.locator(selector).first().selectOption(value)),
  press: ({ key }) => page.keyboard.press(key),
  text: ({ selector }) => page.locator(selector).first().innerText(),
  evaluate: ({ expression }) => evaluate(expression),
  motion: ({ motion }) => page.emulateMedia({ reducedMotion: motion }),
  scheme: ({ scheme }) => page.emulateMedia({ colorScheme: scheme }),
  size: ({ width, height }) => page.setViewportSize({ width, height }),
  axe: async () => (await evaluate(`${axe}; 0`), evaluate(VIOLATIONS)),
  shot: ({ path }) => page.screenshot({ path }),
  metrics: async () => (await session.send("Performance.enable"), (await session.send("Performance.getMetrics")).metrics),
  collect: () => session.send("HeapProfiler.collectGarbage"),
  faults: () => faults.splice(0),
};

for await (const line of createInterface({ input: process.stdin })) {
  const { do: name, ...order } = JSON.parse(line);
  let answer;
  try {
    answer = { ok: (await DO[name](order)) ?? null };
  } catch (error) {
    answer = { error: error.message };
  }
  console.log(JSON.stringify(answer, (key, value) => (typeof value === "object" && value?._guid ? null : value)));
}
await browser.close();
