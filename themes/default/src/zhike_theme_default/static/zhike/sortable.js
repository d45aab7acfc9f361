// Lists put in order by dragging, or by the buttons beside each entry; lists with one data-group exchange entries.
zhike.widget("sortable", (el) => {
  const { make, icon, text } = zhike;
  const said = make("span", { class: "visually-hidden", "aria-live": "polite" });
  el.after(said);
  function changed(item) {
    const list = item.parentElement;
    said.textContent = text("moved", { n: [...list.children].indexOf(item) + 1, total: list.children.length });
    el.dispatchEvent(new Event("input", { bubbles: true }));
    el.dispatchEvent(new CustomEvent("zk:sorted", { bubbles: true }));
    if (el.dataset.post) window.htmx.ajax("POST", el.dataset.post, { source: el, swap: "none",
      values: Object.fromEntries([["order", [...el.querySelectorAll("input[type=hidden]")].map((one) => one.value).join(",")]]) });
  }
  for (const item of el.children) {
    if ([...item.querySelectorAll(".zk-moves")].some((moves) => moves.closest(".zk-sortable > *") === item)) continue;
    const button = (name, drawn, step) => make("button", { type: "button", class: "btn btn-ghost btn-icon btn-sm",
      "aria-label": `${text(name)}: ${item.dataset.label ?? item.innerText.trim()}`, onclick: (e) => {
        const beside = step < 0 ? item.previousElementSibling : item.nextElementSibling;
        const lists = [...document.querySelectorAll(`.zk-sortable[data-group="${item.parentElement.dataset.group}"]`)];
        const next = lists[lists.indexOf(item.parentElement) + step];
        if (beside) beside[step < 0 ? "before" : "after"](item);
        else if (next) next[step < 0 ? "append" : "prepend"](item);
        else return;
        changed(item);
        e.currentTarget.focus();
      } }, icon(drawn));
    const slot = item.querySelector(":scope > [data-moves], :scope > :not(.zk-sortable) > [data-moves]") ?? item;
    slot.append(make("span", { class: "zk-moves" }, button("move-up", "chevron-up", -1), button("move-down", "chevron-down", 1)));
  }
  const group = el.dataset.group;
  const sortable = Sortable.create(el, { handle: ".zk-handle", animation: 150, group: group || undefined,
    onUpdate: (e) => changed(e.item), onAdd: (e) => changed(e.item) });
  return () => { sortable.destroy(); said.remove(); };
});
