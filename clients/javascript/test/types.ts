// Checked by `tsc --strict`, never run: what the types promise, and what they refuse.
import { connect, type Gap, Refused } from "@edgebus/client";
import type { Mahavishnu, MahavishnuRequests } from "./services.js";

const bus = connect("wss://edge.example", { token: async () => "t", signal: AbortSignal.timeout(1000) });

for await (const it of bus.subscribe<Mahavishnu>("workflow:42", { since: "-15m" })) {
  if (it.type === "gap") {
    const gap: Gap = it;
    gap.reason satisfies string;
  } else if (it.type === "event" && it.event === "workflow.completed") {
    it.data.timestamp satisfies string;
    // @ts-expect-error: another event's field
    it.data.stage_name;
  } else if (it.type === "interrupted") it.cause satisfies "link" | "bus" | "slow";
}

const subscription = bus.subscribe<Mahavishnu>("global");
const off: () => void = subscription.on("event", (event) => event.data.timestamp satisfies string);
off();
subscription.on("gap", (gap) => gap.from);
// @ts-expect-error: no such type of value
subscription.on("gaps", () => {});
// @ts-expect-error: a number is no beginning
bus.subscribe("global", { since: 5 });
bus
  .request<MahavishnuRequests["get_workflow_status"]["answer"]>("get_workflow_status", { workflow_id: "42" })
  .then((answer) => answer.status satisfies "running" | "completed" | "failed" | "not_found");
try {
  await bus.publish("cursor.moved", { x: 1 }, { id: "p1" });
} catch (error) {
  if (error instanceof Refused) error.retryAfterMs satisfies number | null;
}
