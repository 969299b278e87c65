// A span of time as a strip coloured by label, and its legend.

import { element, share, timeOfDay } from "./words.js";

export const DEAD_AIR = "dead air";
const ALARM = "#e5484d";

export class Strip {
  /** `figure` holds caption, canvas, axis and legend; `colourOf(label)` gives a colour. */
  constructor(figure, colourOf) {
    this.canvas = figure.querySelector("canvas");
    this.span = figure.querySelector(".span");
    this.pointed = figure.querySelector(".pointed");
    this.axis = figure.querySelector(".axis");
    this.legend = figure.querySelector(".legend");
    this.colourOf = (label) => (label === DEAD_AIR ? ALARM : colourOf(label));
    this.stretches = [];
    this.canvas.addEventListener("pointermove", (event) => this.point(event));
    this.canvas.addEventListener("pointerleave", () => (this.pointed.textContent = ""));
    new ResizeObserver(() => this.draw()).observe(this.canvas);
  }

  /**
   * Show `stretches` ({label, start, end} in milliseconds, the later over the earlier) between
   * `since` and `until`; `name` says which span it is, `ticks` are words under it.
   */
  show(name, since, until, stretches, ticks) {
    Object.assign(this, { since, until, stretches });
    this.span.textContent = name;
    this.axis.replaceChildren(...ticks.map((each) => element("span", each)));
    this.draw();
    const totals = new Map();
    for (const { label, start, end } of stretches) {
      const seconds = (Math.min(end, until) - Math.max(start, since)) / 1000;
      if (seconds > 0) totals.set(label, (totals.get(label) ?? 0) + seconds);
    }
    const heard = [...totals].reduce((sum, [label, s]) => sum + (label === DEAD_AIR ? 0 : s), 0);
    // Dead air lies over silence and is part of it; of two clocks one may be a moment ahead.
    const part = (seconds) => share(Math.min(seconds / heard, 1));
    const sorted = [...totals].sort((one, other) => other[1] - one[1]);
    this.legend.replaceChildren(
      ...sorted.map(([label, seconds]) => {
        const item = element("li");
        const swatch = element("i", "", "swatch");
        swatch.style.background = this.colourOf(label);
        item.append(swatch, `${label} ${part(seconds)}`);
        return item;
      }),
    );
    const words = sorted.slice(0, 6).map(([label, seconds]) => `${label} ${part(seconds)}`);
    this.canvas.setAttribute("aria-label", `${name}: ${words.join(", ") || "nothing heard"}`);
  }

  draw() {
    const { canvas } = this;
    const width = Math.round(canvas.clientWidth * devicePixelRatio);
    const height = Math.round(canvas.clientHeight * devicePixelRatio);
    if (!width || !height) return;
    canvas.width = width;
    canvas.height = height;
    const context = canvas.getContext("2d");
    const at = (time) => ((time - this.since) / (this.until - this.since)) * width;
    for (const { label, start, end } of this.stretches) {
      context.fillStyle = this.colourOf(label);
      context.fillRect(at(start), 0, Math.max(at(end) - at(start), 1), height);
    }
  }

  point(event) {
    const time = this.since + (event.offsetX / this.canvas.clientWidth) * (this.until - this.since);
    const under = this.stretches.findLast(({ start, end }) => start <= time && time < end);
    this.pointed.textContent = `${timeOfDay(time)} ${under ? under.label : "nothing heard"}`;
  }
}
