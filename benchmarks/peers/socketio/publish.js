// Emits one event by Socket.IO's own emitter: node publish.js REDIS_URL ROOM TEXT
import { Emitter } from "@socket.io/redis-emitter";
import { createClient } from "redis";

const [redisUrl, room, text] = process.argv.slice(2);
const client = createClient({ url: redisUrl });
await client.connect();
new Emitter(client).to(room).emit("event", { text });
await client.close();
