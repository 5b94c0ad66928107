// Runs before the page is drawn, so that it does not flash in the other theme.
(() => {
  const root = document.documentElement;
  const kept = () => { try { return localStorage.getItem("theme"); } catch { return null; } };
  root.dataset.theme = kept() === "light" ? "light" : "dark";
  window.addEventListener("DOMContentLoaded", () => {
    document.getElementById("theme").addEventListener("click", () => {
      root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
      try { localStorage.setItem("theme", root.dataset.theme); } catch { /* a private window keeps nothing */ }
    });
  });
})();
