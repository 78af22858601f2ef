// The page: one connection, one view at a time, and the sentence that comes first.

import { el, foreign, say, showModal, typed } from "./dom.js";
import { Channels } from "./channels.js";
import { Clients, Edges } from "./edges.js";
import { EventDialog } from "./event.js";
import { Flow } from "./flow.js";
import { Link, keepToken } from "./link.js";
import { count } from "./figures.js";
import { Overview } from "./overview.js";
import { Publish } from "./publish.js";

const content = document.getElementById("content");
const status = document.getElementById("status");
const page = { link: new Link(changed), now: null, hello: null, show: null };
page.dialog = new EventDialog(document.getElementById("event"), page);
const views = { overview: new Overview(page), flow: new Flow(page), channels: new Channels(page), edges: new Edges(page), clients: new Clients(page), publish: new Publish(page) };
let view = null;
let countdown = 0;

// The way to a view is its name behind the #, so that a link, the back button and the keyboard all work.
function route() {
  const [name, ...rest] = decodeURIComponent(location.hash.slice(1)).split("/");
  const chosen = views[name] ?? views.overview;
  for (const link of document.querySelectorAll("nav a")) {
    if (views[link.dataset.view] === chosen) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (chosen === view) return view.go?.(rest.join("/"));
  view?.leave?.();
  view = chosen;
  content.replaceChildren(view.node);
  document.title = `${name && views[name] ? name[0].toUpperCase() + name.slice(1) : "Overview"} · edgebus`;
  view.enter?.();
  view.go?.(rest.join("/"));
  if (page.now) view.tick(page.now);
}

async function tick() {
  page.now = await page.link.ask("now");
  sentence();
  views.overview.note(page.now);
  view.tick(page.now);
}

function mood(text, kind) {
  say(status, text);
  status.dataset.mood = kind;
}

function sentence() {
  const { redis, troubles, summary, begun, tap, published } = page.now;
  const worst = troubles[0];
  if (worst) {
    const others = troubles.length > 1 ? `  (and ${count(troubles.length - 1)} more)` : "";
    mood(worst.text + others, worst.is_bad ? "bad" : "odd");
  } else if (!begun || redis.away !== null) mood(summary, "wait");
  else if (tap && tap !== "not begun") mood(`events cannot be heard: ${tap}`, "odd");
  else if (!page.now.edges.length) mood(published ? "events come, and no edge is there to deliver them" : summary, "odd");
  else mood(summary[0].toUpperCase() + summary.slice(1), "good");
}

function changed({ state, reason, until, wantsToken }) {
  clearInterval(countdown);
  status.removeAttribute("aria-live");
  document.body.dataset.link = state;
  if (state === "connecting") mood("Connecting to the dashboard …", "wait");
  if (state === "connected") greet();
  if (state === "closed" && wantsToken) askForToken(reason);
  else if (state === "closed") mood(`The dashboard sent this page away: ${reason}. Reload the page to come back.`, "bad");
  if (state === "waiting") {
    const left = () => {
      const seconds = Math.max(0, Math.ceil((until - performance.now()) / 1000));
      mood(`The dashboard is away; the next attempt is in ${seconds} s. What stands below is from before that.`, "bad");
    };
    left();
    // Said once: a screen reader would read out every second.
    setTimeout(() => document.body.dataset.link === "waiting" && status.setAttribute("aria-live", "off"), 500);
    countdown = setInterval(left, 250);
  }
}

async function greet() {
  mood("Connected; asking …", "wait");
  try {
    page.hello = await page.link.ask("hello");
  } catch (error) {
    if (error.code === "FORBIDDEN") askForToken(error.sentence);
    return;
  }
  const { user, version, mayAct } = page.hello;
  document.getElementById("publish-link").hidden = !mayAct;
  document.getElementById("who").replaceChildren(...(user ? [foreign(user), mayAct ? " · may act · " : " · reads · "] : []), version);
}

function askForToken(reason) {
  mood("A token is wanted", "odd");
  const dialog = document.getElementById("login");
  const input = el("input", { name: "token", type: "password", autocomplete: "off", required: true, "aria-describedby": "login-why" });
  const why = page.hello || sessionStorage.length ? reason ?? "" : "This dashboard shows itself to those with a token.";
  const form = el("form", { class: "stack", method: "dialog", on: { submit } },
    el("h2", { id: "login-title" }, "A token, please"),
    el("p", { id: "login-why", class: "muted" }, why), typed("edgebus token make NAME dashboard:read"),
    el("label", {}, "Token", input), el("button", { class: "main" }, "Come in"));
  function submit() {
    keepToken(input.value.trim());
    page.link.open();
  }
  keepToken(null);
  dialog.replaceChildren(form);
  dialog.oncancel = () => mood("Without a token this page shows nothing; reload it to be asked again", "odd");
  if (!dialog.open) showModal(dialog);
}

addEventListener("hashchange", route);
page.link.open();
route();
page.link.keepAsking(1000, tick);
