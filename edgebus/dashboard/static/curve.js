// A minute as a curve: sixty points, and the highest of them in words.

import { svg } from "./dom.js";
import { rate } from "./figures.js";

const POINTS = 60;
const [WIDTH, HEIGHT] = [240, 44];

export class Curve {
  #values = [];
  #line = svg("path", { class: "line" });
  #area = svg("path", { class: "area" });

  constructor(name) {
    this.name = name;
    this.node = svg("svg", { class: "curve", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" },
      this.#area, this.#line);
    this.#label();
  }

  push(value) {
    this.#values.push(value);
    if (this.#values.length > POINTS) this.#values.shift();
    this.#draw();
  }

  #draw() {
    const most = Math.max(1, ...this.#values);
    const step = WIDTH / (POINTS - 1);
    const from = WIDTH - step * (this.#values.length - 1);
    const points = this.#values.map((it, at) => `${(from + at * step).toFixed(1)},${(HEIGHT - 2 - (it / most) * (HEIGHT - 6)).toFixed(1)}`);
    if (points.length < 2) return;
    this.#line.setAttribute("d", `M${points.join("L")}`);
    this.#area.setAttribute("d", `M${from.toFixed(1)},${HEIGHT}L${points.join("L")}L${WIDTH},${HEIGHT}Z`);
    this.#label();
  }

  #label() {
    const most = Math.max(0, ...this.#values);
    this.node.setAttribute("aria-label", `${this.name}, the last minute: at most ${rate(most)} a second`);
  }
}
