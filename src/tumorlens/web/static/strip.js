// One row of slices, coloured by answer; a slider for hands, keys and screen readers.
import { classes, element, say, told } from "./told.js";

export class Strip {
  constructor(target, legend, choose) {
    this.target = target;
    this.legend = legend;
    this.items = [];
    this.at = 0;
    const pick = (event) => {
      const box = target.getBoundingClientRect();
      const share = (event.clientX - box.left) / box.width;
      choose(Math.min(this.items.length - 1, Math.max(0, Math.floor(share * this.items.length))));
    };
    target.addEventListener("pointerdown", (event) => { target.setPointerCapture(event.pointerId); pick(event); });
    target.addEventListener("pointermove", (event) => { if (event.buttons) pick(event); });
    target.addEventListener("keydown", (event) => {
      const moves = { ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1, ArrowDown: 1, PageUp: -10, PageDown: 10 };
      const ends = { Home: 0, End: this.items.length - 1 };
      const to = event.key in ends ? ends[event.key] : event.key in moves ? this.at + moves[event.key] : null;
      if (to === null) return;
      event.preventDefault();
      event.stopPropagation();
      choose(Math.min(this.items.length - 1, Math.max(0, to)));
    });
  }

  set(items) {
    this.items = items;
    this.target.hidden = items.length < 2;
    this.target.replaceChildren(...items.map(({ entry }) => {
      const cell = element("span", { className: `cell ${entry.verdict ?? ""}` });
      if (entry.predicted) cell.style.background = classes.get(entry.predicted).colour;
      return cell;
    }));
    this.target.setAttribute("aria-valuemax", items.length);
    const seen = new Set(items.map(({ entry }) => entry.predicted));
    this.legend.hidden = items.length < 2;
    this.legend.replaceChildren(...told.classes.filter(({ name }) => seen.has(name)).map(({ title, colour }) => {
      const dot = element("span", { className: "dot" });
      dot.style.background = colour;
      return element("li", {}, dot, title);
    }));
  }

  mark(at) {
    this.target.children[this.at]?.classList.remove("here");
    this.at = at;
    this.target.children[at]?.classList.add("here");
    const number = at + 1;
    this.target.setAttribute("aria-valuenow", number);
    const said = this.items[at]?.said.headline ?? "";
    const where = say("viewer", "position", { number, total: this.items.length });
    this.target.setAttribute("aria-valuetext", `${where}: ${said}`);
  }
}
