// What the server tells the page: sentences, classes, limits.
export const told = JSON.parse(document.getElementById("told").textContent);

export const say = (table, name, values = {}) =>
  told.strings[table][name].replace(/\{(\w+)\}/g, (_, key) => (key in values ? values[key] : ""));

export const classes = new Map(told.classes.map((one) => [one.name, one]));

export const percent = (share) => {
  if (share > 0 && share < 0.001) return "< 0.1\u00a0%";
  if (share < 1 && share > 0.999) return "> 99.9\u00a0%";
  return `${(100 * share).toFixed(1)}\u00a0%`;
};

// An element with text and children; text is never parsed.
export const element = (name, given = {}, ...children) => {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(given)) {
    if (value === null || value === undefined) continue;
    if (key in made && key !== "list" && !key.startsWith("aria")) made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
};
