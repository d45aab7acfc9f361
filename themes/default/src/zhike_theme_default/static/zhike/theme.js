// Runs before the first paint, so that a page never flashes in the wrong colours. What was chosen on this device counts
// until the profile, which stands in <html data-theme>, says something else than it did then.
(() => {
  const root = document.documentElement, dark = matchMedia("(prefers-color-scheme: dark)"), paper = matchMedia("print");
  const profile = root.dataset.theme;
  const chosen = () => {
    try {
      const [theme, then] = (localStorage.getItem("zhike-theme") ?? "").split(" ");
      return !profile || !then || then === profile ? theme : "";
    } catch { return ""; }
  };
  const apply = () => {
    const theme = paper.matches ? "light" : chosen() || (profile && profile !== "auto" ? profile : dark.matches ? "dark" : "light");
    root.setAttribute("data-bs-theme", theme);
    document.dispatchEvent(new CustomEvent("zhike:theme", { detail: theme }));
  };
  apply();
  dark.addEventListener("change", apply);
  paper.addEventListener("change", apply);  // paper is white
  addEventListener("storage", (e) => { if (e.key === "zhike-theme") apply(); });
  document.addEventListener("click", (e) => {
    if (!e.target.closest("[data-theme-toggle]")) return;
    const now = root.getAttribute("data-bs-theme") === "dark" ? "light" : "dark";
    try { localStorage.setItem("zhike-theme", `${now} ${profile ?? ""}`.trim()); } catch { /* private window */ }
    apply();
  });
})();
