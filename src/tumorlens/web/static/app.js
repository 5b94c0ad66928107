// The scan page: files in, answers out, one slice on the screen.
import { showAnswer, showSeries } from "./answer.js";
import { listen } from "./intake.js";
import { fill, page } from "./paper.js";
import { Lost, Refused, send } from "./stream.js";
import { Strip } from "./strip.js";
import { download, Table } from "./table.js";
import { say, told } from "./told.js";
import { Viewer } from "./viewer.js";

const part = (id) => document.getElementById(id);
const viewer = new Viewer(part("canvas"), drawn);
const strip = new Strip(part("strip"), part("legend"), (to) => { moved = true; go(to); });
const table = new Table(part("table"), part("rows"), (item) => open(item));

let items = []; // every answer, in order of arrival
let stack = []; // the slices that are scrolled through
let at = 0;
let moved = false; // whether somebody has chosen a slice
let running = null;
let waiting = null; // files that wait for the API key
let key = null; // also where the browser keeps nothing
let drawing = Promise.resolve(); // the slice that is on its way to the screen

// Files in.

async function take(files, skipped = 0) {
  const size = files.reduce((sum, file) => sum + file.size, 0);
  if (size > told.limits.bytes || files.length > told.limits.files) {
    const [name, found, limit] = files.length > told.limits.files
      ? ["too_many", files.length, told.limits.files]
      : ["too_large", megabytes(size), megabytes(told.limits.bytes)];
    part("status").textContent = say("page", name, { found, limit });
    return;
  }
  running?.abort();
  const mine = (running = new AbortController());
  items = [];
  stack = [];
  waiting = null;
  part("paper").replaceChildren();
  part("key-form").hidden = true;
  part("intake").hidden = true;
  part("work").hidden = true;
  part("progress").hidden = false;
  part("status").textContent = "";
  const begun = performance.now();
  const bar = part("progress-bar");
  let drawnAt = 0;
  try {
    await send(files, {
      key: key ?? storedKey(),
      signal: mine.signal,
      onSent: (done, total) => {
        bar.value = done / Math.max(total, 1);
        part("progress-text").textContent = done < total
          ? say("page", "uploading", { done: megabytes(done), total: megabytes(total) })
          : say("page", "answering", { done: answered() });
        if (done >= total) bar.removeAttribute("value");
      },
      onLine: (line) => {
        items.push(line);
        part("progress-text").textContent = say("page", "answering", { done: answered() });
        if (items.length === 1) { open(line); moved = false; }
        else if (performance.now() - drawnAt > 500) { drawnAt = performance.now(); regroup(); }
      },
    });
    part("status").textContent = summary((performance.now() - begun) / 1000, skipped);
  } catch (error) {
    if (running !== mine) return;
    failed(error, files);
  } finally {
    if (running === mine) {
      part("progress").hidden = true;
      running = null;
      if (items.length) finish();
      else part("intake").hidden = false;
    }
  }
}

const answered = () => items.filter(({ entry }) => !entry.error && !entry.series).length;

function failed(error, files) {
  if (error.name === "AbortError") {
    part("status").textContent = say("page", "cancelled", { done: answered() });
  } else if (error instanceof Refused && error.status === 401) {
    part("status").textContent = key ?? storedKey() ? say("page", "key_wrong") : "";
    waiting = files;
    part("key-form").hidden = false;
    part("key").focus();
  } else if (error instanceof Refused && error.status === 503) {
    part("status").textContent = say("page", "busy");
  } else {
    part("status").textContent = error instanceof Lost ? say("page", "lost") : error.message;
  }
}

function summary(seconds, skipped) {
  const bad = items.filter(({ entry }) => entry.error).length;
  const done = answered();
  return [
    `${say("page", done === 1 ? "done_one" : "done", { done, seconds: seconds.toFixed(1) })}.`,
    bad ? `${say("page", "failed", { failed: bad })}.` : "",
    skipped ? say("page", "skipped", { n: skipped }) : "",
  ].filter(Boolean).join(" ");
}

const megabytes = (bytes) => `${(bytes / 1048576).toFixed(1)}\u00a0MB`;

function storedKey() {
  try { return sessionStorage.getItem("api-key"); } catch { return null; }
}

// What belongs together: frames of a file, files of a series.

const seriesOf = (item) => items.find(({ entry }) => entry.series && entry.slices.includes(item.entry.id)) ?? null;

function stackOf(item) {
  const { entry } = item;
  const series = seriesOf(item);
  if (series) {
    const byId = new Map(items.filter((one) => !one.entry.series).map((one) => [one.entry.id, one]));
    return series.entry.slices.map((id) => byId.get(id)).filter(Boolean);
  }
  if (entry.frame !== null && entry.frame !== undefined) {
    return items.filter((one) => one.entry.path === entry.path && !one.entry.series && !one.entry.error);
  }
  return [item];
}

// Of a series, the slice to look at first: the one that speaks most for the tumour, or, where none is named, the most
// suspicious one; without an answer, the middle one.
function telling({ entry }) {
  const byId = new Map(items.map((one) => [one.entry.id, one]));
  if (entry.predicted === null) return byId.get(entry.slices[entry.slices.length >> 1]);
  const share = (one) => one.entry.probabilities[entry.predicted];
  const sign = entry.predicted === "no_tumor" ? -1 : 1;
  return entry.supporting.map((id) => byId.get(id)).reduce((best, one) => (sign * share(one) > sign * share(best) ? one : best));
}

function open(item, fresh = false) {
  moved = true;
  if (item.entry.series) {
    open(telling(item), true);
    return;
  }
  part("work").hidden = false;
  part("intake").hidden = true;
  const other = !stack.includes(item);
  stack = stackOf(item);
  strip.set(stack);
  go(stack.indexOf(item), fresh || other);
}

function regroup() {
  const item = stack[at];
  if (!item) return;
  stack = stackOf(item);
  strip.set(stack);
  at = Math.max(0, stack.indexOf(item));
  strip.mark(at);
  corners();
}

function finish() {
  table.set(items);
  regroup();
  const series = stack[at] && seriesOf(stack[at]);
  if (series && !moved) open(series);
  const focus = document.activeElement; // that of somebody who reads on stays where it is
  if (!focus || focus === document.body || !focus.checkVisibility()) part("canvas").focus({ preventScroll: true });
  showSeries(part("series"), stack[at] ? seriesOf(stack[at]) : null, open);
}

// One slice on the screen.

function go(to, fresh = false) {
  if (!stack.length) return;
  at = Math.min(stack.length - 1, Math.max(0, to));
  const item = stack[at];
  strip.mark(at);
  showAnswer(part("answer"), item);
  showSeries(part("series"), seriesOf(item), open);
  const seen = Boolean(item.shown);
  document.body.classList.toggle("no-picture", !seen);
  part("print").disabled = part("save").disabled = !seen;
  part("paper").replaceChildren();
  if (!seen) return;
  part("canvas").setAttribute("aria-label", say("viewer", "label", { name: item.entry.id, answer: item.said.headline }));
  part("map-note").textContent = item.shown.map ? say("viewer", `map_${item.shown.map.kind}`) : say("viewer", "map_off");
  part("map-on").disabled = part("opacity").disabled = !item.shown.map;
  drawing = viewer.show(item, fresh);
  drawing.then(corners);
}

function corners() {
  const item = stack[at];
  if (!item) return;
  const about = item.shown?.picture ?? {};
  const contrast = about.contrast ? say("viewer", "contrast") : null;
  part("corner-name").textContent =
    [item.entry.id ?? item.entry.path, about.plane, about.weighting, contrast].filter(Boolean).join(" · ");
  part("corner-slice").textContent = stack.length > 1
    ? say("viewer", "position", { number: at + 1, total: stack.length }) : "";
}

function drawn({ window, zoom, ruler }) {
  const shown = (value) => Number(value.toPrecision(4)).toLocaleString("en");
  part("corner-window").textContent =
    `${say("viewer", "level")} ${shown((window[0] + window[1]) / 2)} · ${say("viewer", "width")} ${shown(window[1] - window[0])} · ${Math.round(100 * zoom)}\u00a0%`;
  part("ruler").hidden = !ruler;
  part("ruler-text").textContent = ruler ? `${ruler.millimetres} mm` : say("viewer", "no_spacing");
  if (ruler) part("ruler").style.width = `${ruler.pixels}px`;
  const [low, high] = (viewer.spanOf === viewer.picture ? viewer.span : remember());
  part("level").value = (1000 * (viewer.level - low)) / (high - low);
  part("width").value = (1000 * viewer.width) / (high - low);
}

function remember() {
  viewer.spanOf = viewer.picture;
  viewer.span = viewer.range;
  return viewer.span;
}

for (const name of ["level", "width"]) {
  part(name).addEventListener("input", () => {
    if (!viewer.picture) return;
    const [low, high] = viewer.span;
    const value = (part(name).value / 1000) * (high - low);
    if (name === "level") viewer.setWindow(low + value, viewer.width);
    else viewer.setWindow(viewer.level, value);
  });
}

// Buttons and keys.

const actions = {
  invert: () => {
    viewer.inverted = !viewer.inverted;
    part("invert").setAttribute("aria-pressed", viewer.inverted);
    viewer.paint();
  },
  "zoom-in": () => viewer.zoomBy(1.25),
  "zoom-out": () => viewer.zoomBy(0.8),
  reset: () => { viewer.reset(); part("invert").setAttribute("aria-pressed", "false"); },
  keys: () => {
    const text = part("keys-text");
    text.hidden = !text.hidden;
    part("keys").setAttribute("aria-expanded", !text.hidden);
  },
  cancel: () => running?.abort(),
  new: () => {
    running?.abort();
    items = [];
    stack = [];
    part("paper").replaceChildren();
    part("work").hidden = true;
    part("intake").hidden = false;
    part("status").textContent = "";
    part("choose-files").focus();
  },
  csv: () => download(table.csv(), "tumorlens.csv", "text/csv"),
  json: () => download(table.json(), "tumorlens.json", "application/json"),
  print: async () => { await paper(); window.print(); },
  save: async () => { await paper(); download(await page(part("paper")), "tumorlens-report.html", "text/html"); },
};
for (const [id, action] of Object.entries(actions)) part(id).addEventListener("click", action);

// The report is about the slice whose picture is on the screen, whatever was asked for meanwhile.
function write() {
  if (part("work").hidden || !viewer.item || stack[at] !== viewer.item) return;
  fill(part("paper"), viewer.item, seriesOf(viewer.item), viewer);
}

async function paper() {
  await drawing;
  write();
  await Promise.all([...part("paper").querySelectorAll("img")].map((image) => image.decode()));
}

// However it was asked to print: a key of the browser's own, too.
window.addEventListener("beforeprint", () => { if (!part("paper").hasChildNodes()) write(); });

// Answers are nowhere but here.
window.addEventListener("beforeunload", (event) => { if (items.length > 1) event.preventDefault(); });

part("map-on").addEventListener("change", () => { viewer.mapOn = part("map-on").checked; viewer.draw(); });
part("opacity").addEventListener("input", () => { viewer.opacity = part("opacity").value / 100; viewer.draw(); });

part("canvas").addEventListener("wheel", (event) => {
  event.preventDefault();
  if (event.ctrlKey) {
    const box = part("canvas").getBoundingClientRect();
    const [x, y] = [event.clientX - box.left - box.width / 2, event.clientY - box.top - box.height / 2];
    viewer.zoomBy(event.deltaY < 0 ? 1.15 : 1 / 1.15, x, y);
  } else { moved = true; go(at + Math.sign(event.deltaY)); }
}, { passive: false });

const step = (factor) => (viewer.picture.window[1] - viewer.picture.window[0]) * factor;
const keys = {
  ArrowUp: () => go(at - 1), ArrowDown: () => go(at + 1), PageUp: () => go(at - 10), PageDown: () => go(at + 10),
  Home: () => go(0), End: () => go(stack.length - 1),
  "+": actions["zoom-in"], "=": actions["zoom-in"], "-": actions["zoom-out"], "0": actions.reset, i: actions.invert,
  m: () => part("map-on").click(), "shift+ArrowUp": () => viewer.moveBy(0, 30),
  "shift+ArrowDown": () => viewer.moveBy(0, -30), "shift+ArrowLeft": () => viewer.moveBy(30, 0),
  "shift+ArrowRight": () => viewer.moveBy(-30, 0), "?": actions.keys,
  "[": () => viewer.setWindow(viewer.level, viewer.width - step(0.1)),
  "]": () => viewer.setWindow(viewer.level, viewer.width + step(0.1)),
  ",": () => viewer.setWindow(viewer.level - step(0.05), viewer.width),
  ".": () => viewer.setWindow(viewer.level + step(0.05), viewer.width),
};
part("canvas").addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || !viewer.picture) return;
  const name = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const action = keys[event.shiftKey && name.startsWith("Arrow") ? `shift+${name}` : name];
  if (!action) return;
  event.preventDefault();
  moved = true;
  action();
});

part("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  key = part("key").value;
  try { sessionStorage.setItem("api-key", key); } catch { /* asked for again when the page is loaded again */ }
  part("key").value = "";
  if (waiting) take(waiting);
});

listen(take, (name, values) => { part("status").textContent = say("page", name, values); });
document.documentElement.dataset.ready = told.model.sha256.slice(0, 12);
