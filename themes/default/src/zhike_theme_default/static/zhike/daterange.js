// Usual spans of days for two date fields.
zhike.widget("daterange", (el) => {
  const [from, to] = el.querySelectorAll("input[type=date]");
  // Days are those of the reader's zone, which may be another one than the browser's; as dates they begin in UTC.
  const today = () => new Date(new Intl.DateTimeFormat("sv", { timeZone: document.documentElement.dataset.zone }).format());
  const iso = (date) => date.toISOString().slice(0, 10);
  const bound = () => { to.min = from.value; from.max = to.value; };
  el.addEventListener("change", bound);
  bound();
  el.addEventListener("click", (e) => {
    const preset = e.target.closest("[data-preset]")?.dataset.preset;
    if (preset === undefined) return;
    const now = today(), first = new Date(now);
    if (preset === "month") first.setUTCDate(1);
    else if (preset === "year") first.setUTCMonth(0, 1);
    else first.setUTCDate(now.getUTCDate() - Math.max(Number(preset) - 1, 0));
    from.value = preset === "" ? "" : iso(first);
    to.value = preset === "" ? "" : iso(now);
    to.dispatchEvent(new Event("change", { bubbles: true }));
  });
});
