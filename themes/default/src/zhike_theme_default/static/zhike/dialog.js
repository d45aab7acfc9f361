// Dialogs: those of a page, the one that the server fills, and "are you sure" with what will happen.
(() => {
  const { make, text } = zhike;
  const shared = () => document.getElementById("zk-dialog");
  const open = (dialog) => { if (dialog && !dialog.open) dialog.showModal(); };

  document.addEventListener("click", (e) => {
    const opener = e.target.closest("[data-dialog]");
    if (opener) open(document.getElementById(opener.dataset.dialog));
    const dialog = e.target.closest("dialog");
    // A text that is marked with the mouse may end beside the dialog: that closes nothing in which something was typed.
    const beside = e.target === dialog && !dialog.querySelector(".zk-changed");
    if (dialog && (beside || e.target.closest("[data-close]"))) dialog.close();
  });
  // An answer that htmx puts into #zk-dialog is shown at once.
  document.addEventListener("htmx:after:swap", (e) => {
    const dialog = e.detail.ctx?.target;
    if (dialog?.id === "zk-dialog" && dialog.childElementCount) open(dialog);
  });
  document.addEventListener("close-dialog", () => { for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close(); });
  // The event comes a moment later, when the dialog may have been filled and opened again.
  document.addEventListener("close", (e) => { if (e.target === shared() && !e.target.open) e.target.replaceChildren(); }, true);

  function confirm({ title, lines = [], label, danger = false }) {
    return new Promise((resolve) => {
      const id = "zk-confirm-title";
      const list = lines.length ? make("ul", { class: "zk-consequences" }, ...lines.map((line) => make("li", {}, line))) : null;
      const yes = make("button", { type: "submit", value: "yes", class: `btn ${danger ? "btn-danger" : "btn-primary"}` }, label ?? text("confirm"));
      const no = make("button", { type: "submit", value: "no", class: "btn", autofocus: danger }, text("cancel"));
      const dialog = make("dialog", { class: "zk-dialog zk-dialog-sm", "aria-labelledby": id, role: "alertdialog" },
        make("form", { method: "dialog", class: "zk-dialog-box" },
          make("div", { class: "zk-dialog-body" }, make("h2", { class: "zk-dialog-title", id }, title), list),
          make("div", { class: "zk-dialog-foot" }, no, yes)));
      dialog.addEventListener("close", () => { dialog.remove(); resolve(dialog.returnValue === "yes"); });
      document.body.append(dialog);
      dialog.showModal();
    });
  }
  const asked = (el, title) => confirm({
    title, lines: JSON.parse(el.dataset.confirmLines || "[]"), label: el.dataset.confirmLabel, danger: "danger" in el.dataset,
  });
  document.addEventListener("htmx:confirm", (e) => {
    e.preventDefault();
    const { ctx, issueRequest, dropRequest } = e.detail;
    asked(ctx.sourceElement, ctx.confirm).then((yes) => (yes ? issueRequest() : dropRequest()));
  });
  document.addEventListener("submit", (e) => {
    const form = e.target;
    if (!form.dataset.confirm || form.hasAttribute("hx-post") || form.dataset.confirmed) return;
    e.preventDefault();
    asked(form, form.dataset.confirm).then((yes) => {
      if (!yes) return;
      form.dataset.confirmed = "1";
      form.requestSubmit(e.submitter);
      delete form.dataset.confirmed;  // who comes back to the page is asked again
    });
  }, true);
  zhike.confirm = confirm;
})();
