// What paper and small screens need besides the charts.

// Closed details would be lost on paper: open them for printing, and close them again afterwards.
let opened = [];
addEventListener("beforeprint", () => {
  opened = [...document.querySelectorAll("details:not([open])")];
  for (const details of opened) details.open = true;
});
addEventListener("afterprint", () => {
  for (const details of opened) details.open = false;
});

// Say so where a table goes on beyond the edge; without this script a shadow shows it.
const watch = new ResizeObserver((entries) => {
  for (const { target } of entries) target.classList.toggle("more", target.scrollWidth > target.clientWidth + 1);
});
for (const box of document.querySelectorAll(".table, .scroll")) watch.observe(box);
