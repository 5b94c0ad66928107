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
const nameOf = (file) => file.path || file.webkitRelativePath || file.name;
const noImage = (file) => /(^|\/)(\.|DICOMDIR$|Thumbs\.db$)/i.test(nameOf(file));

// `take` gets the files in order and how many were left out; `tell` gets the name of a sentence when there are none.
export const listen = (take, tell) => {
  const give = (files) => {
    const all = [...files];
    const kept = all.filter((file) => !noImage(file)).sort((a, b) => byName.compare(nameOf(a), nameOf(b)));
    if (kept.length) take(kept, all.length - kept.length);
    else tell("nothing");
  };
  for (const [button, input] of [["choose-files", "files"], ["choose-folder", "folder"]]) {
    const field = document.getElementById(input);
    document.getElementById(button).addEventListener("click", () => field.click());
    field.addEventListener("change", () => { const chosen = [...field.files]; field.value = ""; give(chosen); });
  }
  const zone = document.getElementById("drop");
  document.addEventListener("dragover", (event) => { event.preventDefault(); zone.classList.add("over"); });
  document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) zone.classList.remove("over"); });
  document.addEventListener("drop", async (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    if (!event.dataTransfer.types.includes("Files")) return;
    try {
      give(await dropped(event.dataTransfer));
    } catch (error) {
      tell("unreadable", { name: error.message });
    }
  });
  document.addEventListener("paste", (event) => {
    if (event.clipboardData?.files.length) give(event.clipboardData.files);
  });
  for (const button of document.querySelectorAll("[data-example]")) {
    button.addEventListener("click", async () => {
      const name = `${button.dataset.example}.png`;
      const answer = await fetch(`static/examples/${name}`);
      give([new File([await answer.blob()], `example-${name}`, { type: "image/png" })]);
    });
  }
};
