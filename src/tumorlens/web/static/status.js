// The page as it is now, every few seconds; a server that is away leaves the last one, marked as old.
(() => {
  const every = 5000;
  const again = async () => {
    const main = document.getElementById("main");
    try {
      const answer = await fetch("status", { cache: "no-store" });
      if (!answer.ok) throw new Error(String(answer.status));
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("main");
      if (fresh.innerHTML !== main.innerHTML) main.replaceChildren(...fresh.childNodes);
      main.classList.remove("old");
    } catch {
      main.classList.add("old");
    }
    setTimeout(again, every);
  };
  setTimeout(again, every);
})();
