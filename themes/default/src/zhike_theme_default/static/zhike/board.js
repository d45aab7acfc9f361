// Cards that are dragged from one column to another; what the server refuses goes back to where it was.
zhike.widget("board", (el) => {
  const lists = [...el.querySelectorAll("[data-column]")].map((list) => Sortable.create(list, {
    group: el.dataset.post, sort: false, animation: 150, delay: 150, delayOnTouchOnly: true,
    filter: "button, .dropdown-menu", preventOnFilter: false,
    onAdd: async ({ item, from, oldIndex }) => {
      await window.htmx.ajax("POST", el.dataset.post, { source: el, target: el.dataset.target, swap: "outerHTML",
        values: { item: item.dataset.item, column: item.parentElement.dataset.column } }).catch(() => {});
      if (item.isConnected) from.insertBefore(item, from.children[oldIndex] ?? null);
    },
  }));
  return () => { for (const list of lists) list.destroy(); };
});
