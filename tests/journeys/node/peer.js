// A client on the library `ws` that sends each line it is given and prints what arrives, as `python -m websockets` does.
// The line "ping" sends a ping frame; the end of the input closes the connection.

import { createInterface } from "node:readline";
import WebSocket from "ws";

const socket = new WebSocket(process.argv[2]);
socket.on("message", (data) => console.log(`< ${data}`));
socket.on("pong", (data) => console.log(`pong: ${data}`));
socket.on("close", (code) => console.log(`Connection closed: ${code}`));
socket.on("error", (error) => console.log(`Failed to connect: ${error.message}.`));
socket.on("open", () => {
  console.log("Connected");
  const lines = createInterface({ input: process.stdin });
  lines.on("line", (line) => (line === "ping" ? socket.ping("a frame") : socket.send(line)));
  lines.on("close", () => socket.close(1000));
});
