// One page on one answer: printed, saved as PDF by the browser, or saved as HTML.
import { classes, element, percent, say, told } from "./told.js";
import { paragraphs } from "./answer.js";

const facts = (pairs) => element(
  "dl", { className: "facts" }, ...pairs.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]),
);

const figure = (source, caption) => element(
  "figure", {}, element("img", { src: source, alt: caption }), element("figcaption", {}, caption),
);

const shares = (entry) => told.classes
  .map(({ name, title }) => `${title} ${percent(entry.probabilities[name])}`).join(", ");

const table = (entry) => element(
  "table",
  {},
  element("thead", {}, element("tr", {}, ...["class", "share", "set"].map((name) => element("th", { scope: "col" }, say("report", name))))),
  element("tbody", {}, ...told.classes.map(({ name }) => element(
    "tr",
    {},
    element("th", { scope: "row" }, classes.get(name).title),
    element("td", {}, percent(entry.probabilities[name])),
    element("td", {}, entry.set ? say("report", entry.set.includes(name) ? "in_set" : "not_in_set") : "–"),
  ))),
);

export const fill = (target, item, series, viewer) => {
  const { entry, said } = item;
  const { plain, mapped } = viewer.export();
  const [low, high] = viewer.window.map((value) => Number(value.toPrecision(4)));
  const { name, version, sha256 } = entry.model;
  target.replaceChildren(
    element("h1", {}, say("report", "heading")),
    facts([
      [say("report", "source"), entry.id],
      [say("report", "made"), new Date().toLocaleString("en-GB", { dateStyle: "long", timeStyle: "short" })],
      [say("report", "model"), `${name} ${version} (${sha256})`],
      [say("report", "answer"), entry.verdict ? `${said.headline} (${said.verdict})` : said.headline],
      ...(series ? [[say("answer", "series"), series.said.headline]] : []),
    ]),
    element(
      "div",
      { className: "figures" },
      figure(plain, say("report", "picture", { low, high })),
      mapped ? figure(mapped, say("report", "picture_map")) : null,
    ),
    ...(entry.predicted !== null ? [table(entry)] : []),
    ...paragraphs(entry, said),
    ...(series ? [element("p", {}, `${say("answer", "series")}: ${shares(series.entry)}`)] : []),
    ...(told.caution ? [element("p", { className: "caution" }, told.caution)] : []),
    element("p", { className: "foot-note" }, say("report", "foot")),
  );
};

// As a file of its own. Put together as text: a style element, even of another document, is against the page's policy.
export const page = async (target) => {
  const style = await (await fetch("static/paper.css")).text();
  const body = target.cloneNode(true);
  body.hidden = false;
  return [
    "<!doctype html>", '<html lang="en">', "<head>", '<meta charset="utf-8">',
    '<meta name="viewport" content="width=device-width, initial-scale=1">',
    `<title>${say("report", "heading")}</title>`, `<style>${style}</style>`, "</head>", "<body>", body.outerHTML,
    "</body>", "</html>", "",
  ].join("\n");
};
