// The command palette: Ctrl-K or the search field; arrow keys, Enter, Escape.
(() => {
  const { make, text, debounce } = zhike;
  const dialog = () => document.getElementById("zk-palette");
  const input = () => dialog().querySelector("input"), list = () => dialog().querySelector("[role=listbox]");
  let call, rows = [], at = -1;

  function open() {
    if (dialog().open) return;
    dialog().showModal();
    input().select();
    ask();
  }
  document.addEventListener("keydown", (e) => {
    if ((e.ctrlKey || e.metaKey) && e.key.toLowerCase() === "k") { e.preventDefault(); open(); }
    const typing = e.target.closest("input, textarea, select, [contenteditable]");
    if (e.key === "/" && !typing && !e.ctrlKey && !e.metaKey) { e.preventDefault(); open(); }
  });
  document.addEventListener("click", (e) => { if (e.target.closest("[data-palette]")) { e.preventDefault(); open(); } });

  // What is answered: {"items": [{"label", "hint", "path", "icon", "group"}]}.
  async function ask() {
    call?.abort();
    call = new AbortController();
    try {
      const url = `${dialog().dataset.url}?q=${encodeURIComponent(input().value.trim())}`;
      const answer = await fetch(url, { signal: call.signal, headers: { Accept: "application/json" } });
      if (answer.status === 401) return void location.reload();
      show((await answer.json()).items);
    } catch (error) {
      if (error.name !== "AbortError") show([]);
    }
  }
  function show(items) {
    rows = [];
    let group;
    const parts = [];
    for (const item of items) {
      if (item.group !== group) {
        group = item.group;
        if (group) parts.push(make("div", { class: "zk-palette-group", role: "presentation" }, group));
      }
      const row = make("a", { class: "zk-palette-row", role: "option", href: item.path, id: `zk-palette-${rows.length}`, tabindex: -1 },
        zhike.icon(item.icon) || zhike.icon("arrow-right"), make("span", { class: "zk-palette-label" }, item.label),
        make("span", { class: "zk-palette-hint" }, item.hint ?? ""));
      rows.push(row);
      parts.push(row);
    }
    list().replaceChildren(...parts);
    dialog().querySelector("[role=status]").textContent = rows.length ? "" : text("nothing-found");
    pick(rows.length ? 0 : -1);
  }
  function pick(index) {
    rows[at]?.setAttribute("aria-selected", "false");
    at = index;
    rows[at]?.setAttribute("aria-selected", "true");
    rows[at]?.scrollIntoView({ block: "nearest" });
    if (rows[at]) input().setAttribute("aria-activedescendant", rows[at].id);
    else input().removeAttribute("aria-activedescendant");
  }
  zhike.widget("palette", (el) => {
    el.addEventListener("input", debounce(150, ask));
    el.addEventListener("keydown", (e) => {
      const step = { ArrowDown: 1, ArrowUp: -1 }[e.key];
      if (step && rows.length) { e.preventDefault(); pick((at + step + rows.length) % rows.length); }
      if (e.key === "Enter") { e.preventDefault(); rows[at]?.click(); }
    });
  });
})();
