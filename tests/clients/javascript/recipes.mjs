// The recipes of docs/javascript.md in one page: each framework shows the stages of a workflow that its component follows.
import { StrictMode, createElement } from "react";
import { createRoot } from "react-dom/client";
import { createApp, h } from "vue";
import { connect } from "@edgebus/client";
import { useEvents as useInReact } from "./react.js";
import { useEvents as useInVue } from "./vue.js";
import { eventsOf } from "./svelte.js";

const edge = new URLSearchParams(location.search).get("edge");
const place = (name) => document.body.appendChild(Object.assign(document.createElement("p"), { id: name }));
const stages = (events) => events.map((it) => it.data.stage_name ?? it.event).join(" ");
const options = { last: 100 };

const buses = { react: connect(edge), vue: connect(edge), svelte: connect(edge) };
const React = () => stages(useInReact(buses.react, "workflow:42", options));
const root = createRoot(place("react"));
root.render(createElement(StrictMode, null, createElement(React)));

const app = createApp({
  setup() {
    const events = useInVue(buses.vue, "workflow:42", options);
    return () => h("span", stages(events.value));
  },
});
app.mount(place("vue"));

const shown = place("svelte");
const leave = eventsOf(buses.svelte, "workflow:42", options).subscribe((events) => (shown.textContent = stages(events)));

let told = Promise.resolve();
const tell = (it) => (told = told.then(() => fetch("/saw", { method: "POST", body: JSON.stringify(it) })));
const look = () => tell({ shown: Object.fromEntries([...document.querySelectorAll("p")].map((it) => [it.id, it.textContent])) });
new MutationObserver(look).observe(document.body, { childList: true, subtree: true, characterData: true });
addEventListener("error", (it) => tell({ fault: it.message }));
addEventListener("unhandledrejection", (it) => tell({ fault: String(it.reason) }));
while (!(await (await fetch("/next")).json()).end);

// What is over follows nothing any more: the room of each can be followed anew.
root.unmount();
app.unmount();
leave();
await new Promise((resolve) => setTimeout(resolve));
for (const [name, bus] of Object.entries(buses)) {
  bus.subscribe("workflow:42").close();
  tell({ left: name });
}
