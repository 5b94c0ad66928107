// All answers as a table that sorts, and as files.
import { classes, element, percent, say, told } from "./told.js";

const top = ({ entry }) => (entry.predicted ? entry.probabilities[entry.predicted] : null);
const name = ({ entry }) => {
  if (!entry.series) return entry.id ?? entry.path;
  const row = say("results", "series_row", { n: entry.slices.length });
  return entry.path === "." ? row : `${entry.path} – ${row}`; // chosen files have no folder
};

const COLUMNS = [
  ["file", name],
  ["answer", (item) => item.said.headline],
  ["probability", top],
  ["verdict", (item) => item.said.verdict ?? item.entry.error?.code ?? ""],
];
const order = new Intl.Collator("en", { numeric: true });
const MOST = 2000; // rows that a browser shows with ease; downloads hold all

export class Table {
  constructor(target, count, open) {
    this.target = target;
    this.count = count;
    this.open = open;
    this.items = [];
    this.by = null;
    this.down = false;
  }

  set(items) {
    this.items = items;
    this.draw();
  }

  sorted() {
    // What is said of a whole series stands above what is said of its slices.
    if (this.by === null) return [...this.items].sort((a, b) => Boolean(b.entry.series) - Boolean(a.entry.series));
    const value = COLUMNS[this.by][1];
    const compare = (a, b) => {
      const [left, right] = [value(a), value(b)];
      if (left === null || right === null) return (left === null) - (right === null);
      return (typeof left === "number" ? left - right : order.compare(left, right)) * (this.down ? -1 : 1);
    };
    return [...this.items].sort(compare);
  }

  draw() {
    const heads = COLUMNS.map(([column], index) => element(
      "th",
      { scope: "col", "aria-sort": this.by === index ? (this.down ? "descending" : "ascending") : "none" },
      element("button", { type: "button", onclick: () => this.sort(index) }, say("results", column)),
    ));
    const rows = this.sorted().slice(0, MOST).map((item) => {
      const dot = element("span", { className: "dot" });
      if (item.entry.predicted) dot.style.background = classes.get(item.entry.predicted).colour;
      const chance = top(item);
      return element(
        "tr",
        { className: item.entry.series ? "series-row" : "" },
        element("th", { scope: "row" }, element("button", { type: "button", onclick: () => this.open(item) }, name(item))),
        element("td", {}, dot, item.said.headline),
        element("td", { className: "number" }, chance === null ? "–" : percent(chance)),
        element("td", {}, COLUMNS[3][1](item)),
      );
    });
    this.target.replaceChildren(element("thead", {}, element("tr", {}, ...heads)), element("tbody", {}, ...rows));
    this.count.textContent = say("results", this.items.length === 1 ? "row" : "rows", { n: this.items.length });
  }

  sort(index) {
    this.down = this.by === index ? !this.down : false;
    this.by = index;
    this.draw();
    this.target.querySelectorAll("thead button")[index].focus();
  }

  json() {
    return `${JSON.stringify(this.items.map(({ entry }) => entry), null, 2)}\n`;
  }

  csv() {
    const names = told.classes.map((one) => one.name);
    const quoted = (value) => {
      let text = value === null || value === undefined ? "" : String(value);
      if (/^[=+\-@\t\r]/.test(text) && typeof value !== "number") text = `'${text}`; // a spreadsheet would run it
      return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
    };
    const head = ["id", "path", "frame", "series", "predicted", ...names.map((one) => `p_${one}`), "set", "verdict", "error"];
    const lines = this.items.map(({ entry }) => [
      entry.id, entry.path, entry.frame, entry.series ? "true" : "", entry.predicted,
      ...names.map((one) => entry.probabilities?.[one]), entry.set?.join("|"), entry.verdict, entry.error?.code,
    ]);
    return `${[head, ...lines].map((line) => line.map(quoted).join(",")).join("\n")}\n`;
  }
}

export const download = (text, file, type) => {
  const link = element("a", { href: URL.createObjectURL(new Blob([text], { type })), download: file });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
};
