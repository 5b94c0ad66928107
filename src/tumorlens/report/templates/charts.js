// Draws every chart of the report. vega-embed is bundled around these lines; nothing is loaded from anywhere.
const format = { actions: false, renderer: "svg", ast: true, tooltip: { theme: "light" } };

for (const block of document.querySelectorAll("script[type='application/json'][data-chart]")) {
  const target = document.getElementById(block.dataset.chart);
  vegaEmbed(target, JSON.parse(block.textContent), format).catch((error) => {
    target.textContent = `This chart could not be drawn: ${error.message}`;
  });
}
