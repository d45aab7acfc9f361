// Unfolding a row, and picking rows: one, a range with Shift, a page, or all that match.
zhike.widget("table", (el) => {
  el.addEventListener("click", (e) => {
    const button = e.target.closest("[data-unfold]");
    if (!button) return;
    const row = button.closest("tr"), open = button.getAttribute("aria-expanded") === "true";
    button.setAttribute("aria-expanded", String(!open));
    if (open) return row.nextElementSibling.remove();
    const cell = zhike.make("td", { colspan: row.cells.length, "data-panel": "", "hx-get": button.dataset.unfold, "hx-trigger": "load, zk:load" });
    row.after(zhike.make("tr", { class: "zk-unfolded" }, cell));
    window.htmx.process(cell);
  });
  const bulk = el.querySelector("[data-bulk]"), page = el.querySelector("[data-page]");
  if (!bulk || !page) return;
  const boxes = [...el.querySelectorAll("tbody input[name=ids]")];
  const all = bulk.querySelector("input[name=all]"), more = bulk.querySelector("[data-all]");
  let last = -1;

  function show() {
    const picked = boxes.filter((box) => box.checked).length, everything = picked === boxes.length;
    if (!everything) all.value = "";
    for (const box of boxes) box.closest("tr").classList.toggle("zk-picked", box.checked);
    page.checked = picked > 0 && everything;
    page.indeterminate = picked > 0 && !everything;
    bulk.hidden = !picked;
    bulk.querySelector(".zk-bulk-count").textContent = zhike.text(all.value ? "all-selected" : "selected", { n: zhike.number(picked) });
    if (more) more.hidden = !everything || !!all.value;
  }
  el.addEventListener("click", (e) => {
    const at = boxes.indexOf(e.target);
    if (at < 0) return;
    if (e.shiftKey && last >= 0) {
      for (const box of boxes.slice(Math.min(at, last), Math.max(at, last) + 1)) box.checked = e.target.checked;
    }
    last = at;
    show();
  });
  page.addEventListener("change", () => { for (const box of boxes) box.checked = page.checked; show(); });
  more?.addEventListener("click", () => { all.value = "1"; show(); });
  bulk.querySelector("[data-none]").addEventListener("click", () => { for (const box of boxes) box.checked = false; show(); page.focus(); });
  show();
});
