// Files from a dialog, a drop (folders, too), the clipboard, or a built-in example.
const inside = async (entry, path = "") => {
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    file.path = path + file.name;
    return [file];
  }
  const reader = entry.createReader();
  const found = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject)); // at most 100 at a time
    if (!some.length) break;
    for (const child of some) found.push(...await inside(child, `${path}${entry.name}/`));
  }
  return found;
};

const dropped = async (transfer) => {
  const entries = [...transfer.items].filter((item) => item.kind === "file").map((item) => item.webkitGetAsEntry?.());
  if (entries.some((entry) => !entry)) return [...transfer.files];
  return (await Promise.all(entries.map((entry) => inside(entry)))).flat();
};

const byName = new Intl.Collator("en", { numeric: true });
const ordered = (files) => files
  .filter((file) => !/(^|\/)(\.|DICOMDIR$|Thumbs\.db$)/i.test(file.path || file.webkitRelativePath || file.name))
  .sort((a, b) => byName.compare(a.path || a.webkitRelativePath || a.name, b.path || b.webkitRelativePath || b.name));

export const listen = (take) => {
  const give = (files) => { const kept = ordered([...files]); if (kept.length) take(kept); };
  for (const [button, input] of [["choose-files", "files"], ["choose-folder", "folder"]]) {
    const field = document.getElementById(input);
    document.getElementById(button).addEventListener("click", () => field.click());
    field.addEventListener("change", () => { give(field.files); field.value = ""; });
  }
  const zone = document.getElementById("drop");
  document.addEventListener("dragover", (event) => { event.preventDefault(); zone.classList.add("over"); });
  document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) zone.classList.remove("over"); });
  document.addEventListener("drop", async (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    give(await dropped(event.dataTransfer));
  });
  document.addEventListener("paste", (event) => give(event.clipboardData?.files ?? []));
  for (const button of document.querySelectorAll("[data-example]")) {
    button.addEventListener("click", async () => {
      const name = `${button.dataset.example}.png`;
      const answer = await fetch(`static/examples/${name}`);
      give([new File([await answer.blob()], `example-${name}`, { type: "image/png" })]);
    });
  }
};
