// Lines to type that show an event elsewhere: in a shell, in Redis, by HTTP, from Python and from JavaScript.

import { typed } from "./dom.js";

/** In single quotes for a shell; a quote inside ends them, stands escaped, and begins them anew. */
export const quoted = (text) => (/^[A-Za-z0-9_:./@%+=,-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`);

/** The channel's name for clients and commands: `global:mahavishnu` in Redis is `global` at mahavishnu's edge. */
export const asked = (row) => (row.channel === `global:${row.service}` ? "global" : row.channel);

function edgeOf(row, now) {
  const edge = now?.edges.find((it) => it.service === row.service && it.gone === null && it.port);
  return `127.0.0.1:${edge?.port ?? "PORT"}`;
}

export function ways(row, { now, hello }) {
  const [channel, edge] = [asked(row), edgeOf(row, now)];
  const url = hello?.redis ?? "redis://127.0.0.1:6390";
  const redis = url === "redis://127.0.0.1:6390" ? "" : ` --redis ${quoted(url)}`;
  const named = channel === "global" ? `${row.service}/global` : channel;
  const since = row.position ? `, { last: 10 }` : "";
  const lines = [];
  if (row.position) lines.push(`edgebus get ${row.position} ${quoted(named)}${redis}`);
  lines.push(`edgebus listen ${quoted(channel)} --url ws://${edge}${row.position ? " --last 10" : ""}`);
  lines.push(row.position ? `redis-cli -u ${quoted(url)} XRANGE ${quoted(`bus:log:{${row.channel}}`)} ${row.position} ${row.position}` : `redis-cli -u ${quoted(url)} SUBSCRIBE ${quoted(row.channel)}`);
  lines.push(`curl -N ${quoted(`http://${edge}/events?channel=${encodeURIComponent(channel).replaceAll("%3A", ":")}${row.position ? "&last=10" : ""}`)}`);
  lines.push(`from clients import connect\nasync with connect("ws://${edge}") as client:\n    async for value in client.subscribe(${JSON.stringify(channel)}${row.position ? ", last=10" : ""}):\n        print(value)`);
  lines.push(`for await (const it of connect("ws://${edge}").subscribe(${JSON.stringify(channel)}${since})) console.log(it);`);
  return lines.map(typed);
}
