// What changes something for others is asked for twice.

import { el, foreign, tell } from "./dom.js";

/** Ask whether to go on; resolves to true or false. */
export function confirmed(title, text, verb) {
  const dialog = el("dialog", { "aria-labelledby": "confirm-title" });
  return new Promise((resolve) => {
    const done = (answer) => () => {
      dialog.close();
      dialog.remove();
      resolve(answer);
    };
    const no = el("button", { type: "button", on: { click: done(false) } }, "No");
    dialog.append(el("div", { class: "stack" }, el("h2", { id: "confirm-title" }, title), el("p", {}, foreign(text)),
      el("div", { class: "bar" }, el("button", { type: "button", class: "main", on: { click: done(true) } }, verb), no)));
    dialog.addEventListener("cancel", done(false));
    document.body.append(dialog);
    dialog.showModal();
    no.focus();
  });
}

/** A button in a row that asks, does, and says what came of it. */
export function action(label, name, { title, text, act }) {
  const button = el("button", { type: "button", class: "quiet", "aria-label": name, on: { click } }, label);
  async function click() {
    if (!(await confirmed(title(), text(), label))) return;
    button.disabled = true;
    let said;
    try {
      said = await act();
    } catch (error) {
      said = error.sentence ?? error.message;
    }
    tell(said);
    button.title = said;
    button.disabled = false;
  }
  return button;
}
