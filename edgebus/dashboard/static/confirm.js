// What changes something for others is asked for twice.

import { el, foreign, showModal, tell } from "./dom.js";

/** Ask whether to go on; resolves to true or false. */
export function confirmed(title, text, verb) {
  const dialog = el("dialog", { "aria-labelledby": "confirm-title" });
  return new Promise((resolve) => {
    let answer = false;
    const done = (given) => () => {
      answer = given;
      dialog.close();
    };
    const no = el("button", { type: "button", on: { click: done(false) } }, "No");
    dialog.append(el("div", { class: "stack" }, el("h2", { id: "confirm-title" }, title), el("p", {}, foreign(text)),
      el("div", { class: "bar" }, el("button", { type: "button", class: "main", on: { click: done(true) } }, verb), no)));
    document.body.append(dialog);
    showModal(dialog);
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(answer);
    });
    no.focus();
  });
}

/** A button in a row that asks, does, and says what came of it. */
export function action(label, name, { title, text, act }) {
  const button = el("button", { type: "button", class: "quiet", "aria-label": name, on: { click } }, label);
  let isUnderWay = false;
  async function click() {
    if (isUnderWay || !(await confirmed(title(), text(), label))) return;
    isUnderWay = true; // and not `disabled`, which would take the focus away
    button.setAttribute("aria-disabled", "true");
    let said;
    try {
      said = await act();
    } catch (error) {
      said = error.sentence ?? error.message;
    }
    tell(said);
    button.title = said;
    button.removeAttribute("aria-disabled");
    isUnderWay = false;
  }
  return button;
}
