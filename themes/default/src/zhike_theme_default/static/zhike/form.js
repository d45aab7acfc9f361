// Manners of forms: nothing typed is lost, nothing is sent twice, a session that ended is begun again in place.
(() => {
  const { make, text, toast, csrf } = zhike;
  const changed = new Set();
  let leaving = false;

  document.addEventListener("input", (e) => {
    const form = e.target.form ?? e.target.closest?.("form[data-guard]");
    if (form?.hasAttribute("data-guard") && !e.target.closest("[data-unguarded]")) {
      changed.add(form);
      form.classList.add("zk-changed");
    }
  });
  const clean = (form) => { changed.delete(form); form?.classList?.remove("zk-changed"); };
  document.addEventListener("reset", (e) => clean(e.target));
  addEventListener("beforeunload", (e) => {
    if (leaving || ![...changed].some((form) => form.isConnected)) return;
    e.preventDefault();
    setTimeout(free, 1000);  // for whoever stays
  });

  // A form that goes to the server as a page: one submit only, until the page comes back from the history.
  document.addEventListener("submit", (e) => {
    const form = e.target;
    if (e.defaultPrevented || form.method === "dialog" || form.matches("[hx-post],[hx-put],[hx-patch],[hx-delete],[hx-get]")) return;
    if (form.dataset.sent) return e.preventDefault();
    form.dataset.sent = "1";
    leaving = true;
    busy(form, true);
  });
  function free() {
    leaving = false;
    for (const form of document.querySelectorAll("form[data-sent], form[data-flying]")) { delete form.dataset.sent; delete form.dataset.flying; busy(form, false); }
  }
  addEventListener("pageshow", free);
  function busy(form, on) {
    for (const button of form.querySelectorAll("[type=submit], button:not([type])")) {
      button.classList.toggle("zk-busy", on);
      button.setAttribute("aria-disabled", on);
    }
  }
  // The form that a request sends, not one that only stands around what asks, such as a live count.
  function formOf({ sourceElement: el }) {
    if (el?.matches?.("form")) return el;
    return el?.matches?.("[type=submit]") ? el.form : null;
  }
  // htmx would keep a second submit, such as by Enter, and send it after the first.
  document.addEventListener("submit", (e) => {
    if (!e.target.dataset.flying) return;
    e.preventDefault();
    e.stopImmediatePropagation();
  }, true);
  document.addEventListener("htmx:before:request", (e) => {
    const { ctx } = e.detail, form = formOf(ctx);
    if (!form || ctx.request.method === "GET") return;
    if (form.dataset.flying) return e.preventDefault();
    form.dataset.flying = "1";
    busy(form, true);
  });
  // Before htmx leads elsewhere, so that nobody is asked whether to leave what is saved.
  document.addEventListener("htmx:after:request", (e) => {
    const { ctx } = e.detail, form = formOf(ctx);
    if (form && ctx.request.method !== "GET" && ctx.response.status < 400) clean(form);
  });
  document.addEventListener("htmx:finally:request", (e) => {
    const { ctx } = e.detail, form = formOf(ctx);
    if (!form || ctx.response?.headers?.get("HX-Redirect")) return;  // the page is about to leave
    delete form.dataset.flying;
    busy(form, false);
  });
  // The first field with an error takes the focus; it names its error by aria-describedby.
  document.addEventListener("htmx:after:settle", (e) => {
    e.target.querySelector?.("[aria-invalid=true]")?.focus();
  });

  // The session has ended: the login form is shown above the page and its dialogs, which keep what was typed.
  let login = null;
  document.addEventListener("login", (e) => {
    login ??= document.body.appendChild(make("dialog", { class: "zk-dialog", "aria-label": text("log-in") }));
    login.replaceChildren(make("div", { class: "zk-dialog-box" },
      make("div", { class: "zk-dialog-head" }, make("h2", { class: "zk-dialog-title" }, text("log-in")),
        make("button", { type: "button", class: "btn-close", "data-close": true, "aria-label": text("close") })),
      make("div", { class: "zk-dialog-body" }, make("p", { class: "zk-muted" }, e.detail?.text ?? ""), make("div", { id: "zk-login" }))));
    if (!login.open) login.showModal();
    window.htmx.ajax("GET", "/login", { target: "#zk-login", swap: "innerHTML" });
  });
  document.addEventListener("logged-in", (e) => {
    csrf(e.detail.csrf);
    login?.close();
    toast(text("signed-in"));
  });

  // A button that writes its text where the cursor is in the text of its form, such as a mention.
  document.addEventListener("click", (e) => {
    const button = e.target.closest("[data-insert]"), field = button?.closest("form").querySelector("textarea");
    if (!field) return;
    field.setRangeText(button.dataset.insert, field.selectionStart, field.selectionEnd, "end");
    field.focus();
    field.dispatchEvent(new Event("input", { bubbles: true }));
  });

  // Copying what a field holds; without TLS browsers have no clipboard for scripts, and take the selection.
  document.addEventListener("click", async (e) => {
    const field = document.getElementById(e.target.closest("[data-copy]")?.dataset.copy ?? "");
    if (!field) return;
    field.select();
    try { await navigator.clipboard.writeText(field.value); } catch { document.execCommand("copy"); }
    toast(text("copied"));
  });

  // What a switch of the form switches on: while it is off, its fields are neither asked for nor sent.
  document.addEventListener("change", (e) => {
    const body = e.target.closest(".zk-switched > .zk-switch")?.nextElementSibling;
    if (body) body.disabled = !e.target.checked;
  });

  // A menu that takes effect at once, such as the language: its form goes off by itself.
  document.addEventListener("change", (e) => {
    if (e.target.closest("[data-submit-on-change]")) e.target.form.requestSubmit();
  });
})();
