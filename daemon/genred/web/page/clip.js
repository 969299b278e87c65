// Upload a clip and see what is in it.

import { send } from "./api.js";
import { element, length, share } from "./words.js";

const SVG = "http://www.w3.org/2000/svg";

export class Clip {
  constructor(section, colourOf) {
    this.section = section;
    this.colourOf = colourOf;
    this.form = section.querySelector("form");
    this.input = section.querySelector("input");
    this.button = section.querySelector("button");
    this.status = section.querySelector("#clip-status");
    this.result = section.querySelector("#clip-result");
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.input.files[0]) this.judge(this.input.files[0]);
    });
    section.addEventListener("dragover", (event) => {
      event.preventDefault();
      section.classList.add("over");
    });
    section.addEventListener("dragleave", () => section.classList.remove("over"));
    section.addEventListener("drop", (event) => {
      event.preventDefault();
      section.classList.remove("over");
      if (event.dataTransfer.files[0]) this.judge(event.dataTransfer.files[0]);
    });
  }

  async judge(file) {
    this.button.disabled = true;
    this.result.hidden = true;
    this.say(`listening to ${file.name} …`);
    try {
      const form = new FormData();
      form.append("file", file);
      this.show(await send("POST", "/api/v1/classify", form));
      this.say("");
    } catch (error) {
      this.say(error.status ? error.message : "nobody answers; try again", true);
    } finally {
      this.button.disabled = false;
    }
  }

  say(words, fault = false) {
    this.status.textContent = words;
    this.status.classList.toggle("fault", fault);
  }

  show(told) {
    const words = told.confidence ? `, ${share(told.confidence)}` : "";
    const shown = `${told.path}: ${told.label}${words}, ${length(told.duration)}`;
    this.result.querySelector("h3").textContent = shown;
    const svg = this.result.querySelector("svg");
    svg.setAttribute("viewBox", `0 0 ${told.duration} 1`);
    const runs = told.segments.map((each) => `${each.label} from ${length(each.start)}`);
    svg.setAttribute("aria-label", `Time line: ${runs.slice(0, 12).join(", ") || "nothing heard"}`);
    svg.replaceChildren(
      ...told.segments.map((each) => {
        const rect = document.createElementNS(SVG, "rect");
        rect.setAttribute("x", each.start);
        rect.setAttribute("width", Math.max(each.end - each.start, told.duration / 1000));
        rect.setAttribute("height", 1);
        rect.setAttribute("fill", this.colourOf(each.label));
        const title = document.createElementNS(SVG, "title");
        title.textContent = `${each.label}, ${length(each.start)} to ${length(each.end)}`;
        rect.append(title);
        return rect;
      }),
    );
    const quarters = [0, 0.25, 0.5, 0.75, 1].map((each) => length(each * told.duration));
    this.result.querySelector(".axis").replaceChildren(...quarters.map((each) => element("span", each)));
    this.result.querySelector("tbody").replaceChildren(
      ...told.segments.map((each) => {
        const row = element("tr");
        const label = element("td");
        const swatch = element("i", "", "swatch");
        swatch.style.background = this.colourOf(each.label);
        label.append(swatch, ` ${each.label}`);
        row.append(element("td", length(each.start)), element("td", length(each.end)), label);
        row.append(element("td", share(each.confidence)));
        return row;
      }),
    );
    this.result.hidden = false;
  }
}
