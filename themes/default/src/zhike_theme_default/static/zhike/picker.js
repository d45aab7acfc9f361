// Selects that ask the server while one types; it answers {"items": [{"value", "label", "hint"}]}.
(() => {
  const { make, text, widget } = zhike;
  function enhance(el, { onChange } = {}) {
    const remote = el.dataset.url && !el.dataset.url.endsWith("kind=none") ? el.dataset.url : null;
    let asked = 0; // an answer that comes after that of a later question is none
    let chosen = false; // what was typed just before, and an answer that comes late, must not open the list again
    const control = new TomSelect(el, {
      onItemAdd: () => { clearTimeout(control.refreshTimeout); chosen = !el.multiple; }, onType: () => { chosen = false; },
      create: "create" in el.dataset, persist: false, maxOptions: 200, closeAfterSelect: !el.multiple,
      plugins: el.multiple ? { remove_button: { title: text("remove") } } : {}, placeholder: el.dataset.placeholder || text("type-to-search"),
      valueField: "value", labelField: "label", searchField: remote ? [] : ["label", "value", "hint"],
      preload: remote ? "focus" : false, loadThrottle: 200, dropdownParent: el.closest("dialog") ? null : "body", onChange,
      load: remote && ((query, done) => {
        const number = ++asked;
        const answer = (found) => { done(number === asked ? found : []); if (chosen) control.close(); };
        control.clearOptions();
        fetch(`${remote}&q=${encodeURIComponent(query)}`, { headers: { Accept: "application/json" } })
          .then((answer) => (answer.ok ? answer.json() : { items: [] }))
          .then(({ items: found }) => answer(found.map((one) => ({ ...one, value: String(one.value) }))), () => answer());
      }),
      render: {
        option: (one) => make("div", {}, make("span", {}, one.label ?? one.text ?? one.value), one.hint && make("small", { class: "zk-muted" }, one.hint)),
        item: (one) => make("div", {}, one.label ?? one.text ?? one.value),
        option_create: (one) => make("div", { class: "create" }, text("new-value", { value: one.input })),
        no_results: () => make("div", { class: "no-results" }, text("nothing-found")),
        loading: null,
      },
    });
    el.setAttribute("aria-hidden", "true");
    const name = el.getAttribute("aria-label");
    if (name) control.control_input.setAttribute("aria-label", name);
    if (el.hasAttribute("aria-describedby")) control.control_input.setAttribute("aria-describedby", el.getAttribute("aria-describedby"));
    return control;
  }
  zhike.enhance = enhance;
  widget("picker", (el) => { const control = enhance(el); return () => control.destroy(); });
})();
