// Draws the charts of the model page. vega-embed is bundled around these lines. `ast` keeps Vega from making functions
// out of text, and no style element is put in: the page's content security policy allows neither.
const format = {
  actions: false, renderer: "canvas", ast: true, defaultStyle: false, tooltip: { disableDefaultStyle: true },
};

const draw = () => {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const text = { labelColor: colour("--muted"), titleColor: colour("--ink") };
  const lines = { domainColor: colour("--line"), gridColor: colour("--line"), tickColor: colour("--line") };
  for (const block of document.querySelectorAll("script[type='application/json'][data-chart]")) {
    const target = document.getElementById(block.dataset.chart);
    const spec = JSON.parse(block.textContent.replaceAll("#1f5fa8", colour("--accent"))); // too dark on black
    spec.config = {
      ...spec.config,
      background: null,
      axis: { ...spec.config.axis, ...text, ...lines },
      legend: { ...spec.config.legend, ...text },
    };
    vegaEmbed(target, spec, format).then(() => { target.dataset.drawn = "yes"; }, (error) => {
      target.textContent = error.message;
    });
  }
};

draw();
document.getElementById("theme").addEventListener("click", draw);
