// The panel beside the slice: what the model says, in words, bars and a set.
import { classes, element, percent, say, told } from "./told.js";

const bar = (name, share, own) => {
  const known = classes.get(name);
  const meter = element("span", { className: "fill" });
  meter.style.width = `${100 * share}%`;
  meter.style.background = known.colour;
  return element(
    "li",
    { className: own ? "own" : "" },
    element("span", { className: "name" }, known.title),
    element("span", { className: "share" }, percent(share)),
    element("span", { className: "meter", "aria-hidden": "true" }, meter),
    own ? element("span", { className: "mark" }, say("answer", "in_set")) : null,
  );
};

export const bars = (entry) => element(
  "ul",
  { className: "bars" },
  ...told.classes.map(({ name }) => bar(name, entry.probabilities[name], entry.set?.includes(name))),
);

export const paragraphs = (entry, said) => [
  said.reliability ? element("p", {}, said.reliability) : null,
  entry.set?.length && told.coverage
    ? element("p", { className: "quiet" }, say("answer", "set", { share: `${Math.round(100 * told.coverage)}\u00a0%` }))
    : null,
  entry.reason && entry.predicted !== null
    ? element("p", { className: "quiet" }, `${say("answer", "why")}: ${entry.reason}.`) : null,
].filter(Boolean);

// The answer in a line, its verdict beside it.
const headline = (name, { entry, said }) => element(
  name,
  { className: "headline" },
  said.headline,
  entry.verdict ? element("span", { className: `verdict ${entry.verdict}` }, said.verdict) : null,
);

export const showAnswer = (target, item) => {
  if (!item) {
    target.replaceChildren(element("p", { className: "quiet" }, say("answer", "none")));
    return;
  }
  const { entry, said } = item;
  const heading = headline("h2", item);
  if (entry.error) {
    target.replaceChildren(
      heading, element("p", {}, entry.error.message), element("p", { className: "quiet" }, entry.error.hint),
    );
    return;
  }
  const answered = entry.predicted !== null;
  const { name, version, sha256 } = entry.model;
  target.replaceChildren(
    heading,
    ...(answered ? [bars(entry)] : []),
    ...paragraphs(entry, said),
    element("p", { className: "quiet fine" }, say("answer", "made_by", { name, version, sha: sha256.slice(0, 12) })),
  );
};

export const showSeries = (target, item, jump) => {
  target.hidden = !item;
  if (!item) return;
  const { entry } = item;
  const aside = Object.entries(entry.aside).map(([name, n]) => say("answer", `aside_${name}`, { n })).join(", ");
  target.replaceChildren(
    element("h2", {}, say("answer", "series")),
    headline("p", item),
    ...(entry.predicted !== null ? [bars(entry)] : []),
    element(
      "p",
      { className: "quiet" },
      say("answer", "slices_used", { used: entry.supporting.length, total: entry.slices.length }),
      aside ? ` ${say("answer", "aside", { list: aside })}` : "",
      entry.reason ? ` ${entry.reason}.` : "",
    ),
    entry.set ? "" : element("p", { className: "quiet" }, say("answer", "not_calibrated")),
    entry.supporting.length
      ? element("button", { type: "button", onclick: () => jump(item) }, say("answer", "show_support"))
      : "",
  );
};
