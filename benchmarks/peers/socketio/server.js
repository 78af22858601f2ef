// Socket.IO with its Redis adapter, as the documentation of both sets them up: a client asks for a room and is told so.
// node server.js REDIS_URL PORT [CERTIFICATE KEY]
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createServer as createServerWithTls } from "node:https";

import { createAdapter } from "@socket.io/redis-adapter";
import { createClient } from "redis";
import { Server } from "socket.io";

const [redisUrl, port, certificate, key] = process.argv.slice(2);
const publishing = createClient({ url: redisUrl });
const subscribed = publishing.duplicate();
await Promise.all([publishing.connect(), subscribed.connect()]);

const http = certificate
  ? createServerWithTls({ cert: readFileSync(certificate), key: readFileSync(key) })
  : createServer();
const io = new Server(http, { adapter: createAdapter(publishing, subscribed), pingInterval: 3_600_000 });
io.on("connection", (socket) => {
  socket.on("subscribe", (room, acknowledge) => {
    socket.join(room);
    acknowledge(room);
  });
});
http.listen({ host: "127.0.0.1", port: Number(port), backlog: 1024 });
