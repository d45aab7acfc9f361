// The registry of widgets, texts, toasts and what happens when a request fails.
window.zhike = (() => {
  const kinds = new Map(), live = new Map(), scripts = new Map();
  const json = (id) => JSON.parse(document.getElementById(id)?.textContent || "{}");
  const texts = json("zhike-texts"), bundled = json("zhike-widgets");
  const locale = document.documentElement.lang || "zh-CN";

  // A file is loaded once, however many widgets ask for it.
  function load(url) {
    if (!scripts.has(url)) scripts.set(url, new Promise((resolve, reject) => {
      const css = url.endsWith(".css"), el = document.createElement(css ? "link" : "script");
      if (css) { el.rel = "stylesheet"; el.href = url; } else { el.src = url; el.async = false; }
      el.onload = resolve;
      el.onerror = () => { scripts.delete(url); reject(new Error(url)); };
      document.head.append(el);
    }));
    return scripts.get(url);
  }
  async function bring(name, el) {
    const files = el.dataset.widgetSrc?.split(/\s+/) ?? bundled[name] ?? [];
    try { await Promise.all(files.map(load)); } catch { toast(text("offline"), "danger"); }
  }
  // Mounts widgets below `root`, and unmounts those that have left the page.
  function scan(root) {
    for (const [el, unmount] of live) if (!el.isConnected) { live.delete(el); unmount?.(); }
    const found = [...root.querySelectorAll?.("[data-widget]") ?? []];
    if (root.matches?.("[data-widget]")) found.unshift(root);
    for (const el of found) {
      const mount = kinds.get(el.dataset.widget);
      if (!mount) bring(el.dataset.widget, el);
      else if (!live.has(el)) {
        live.set(el, null);  // first, so that what mounting causes does not mount it again
        live.set(el, mount(el) ?? null);
      }
    }
  }
  function widget(name, mount) {
    kinds.set(name, mount);
    if (document.readyState !== "loading") scan(document);
  }
  document.addEventListener("DOMContentLoaded", () => scan(document));
  // What is chosen in a row of tabs is in sight, also where the row is wider than the window.
  document.addEventListener("DOMContentLoaded", () => {
    for (const tab of document.querySelectorAll(":is(.zk-tabs, .zk-views) [aria-current]")) {
      const row = tab.closest(".zk-tabs, .zk-views");
      row.scrollLeft += Math.max(0, tab.getBoundingClientRect().right - row.getBoundingClientRect().right);
    }
  });
  document.addEventListener("htmx:after:process", (e) => scan(e.target));
  document.addEventListener("htmx:after:settle", () => scan(document));

  function text(key, places = {}) {
    return (texts[key] ?? key).replace(/\{(\w+)\}/g, (whole, name) => places[name] ?? whole);
  }
  function make(tag, attributes = {}, ...children) {
    const el = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes)) {
      if (value === false || value == null) continue;
      if (key.startsWith("on")) el.addEventListener(key.slice(2), value);
      else if (key === "class") el.className = value;
      else el.setAttribute(key, value === true ? "" : value);
    }
    el.append(...children.filter((child) => child != null));
    return el;
  }
  // Icons come with the page, as <template data-icon="name">: scripts hold no drawings.
  const icon = (name) => document.querySelector(`template[data-icon="${name}"]`)?.content.cloneNode(true) ?? "";

  function toast(message, kind = "success") {
    const close = make("button", { type: "button", class: "btn-close", "aria-label": text("close"), onclick: () => el.remove() });
    const el = make("div", { class: `zk-toast zk-toast-${kind}`, role: kind === "danger" ? "alert" : "status" },
      make("span", { class: "zk-toast-text" }, message), close);
    const shown = document.getElementById("zk-toasts");
    while (shown.children.length > 3) shown.firstChild.remove();
    shown.append(el);
    let timer;
    const fade = () => { timer = setTimeout(() => el.remove(), kind === "danger" ? 10000 : 5000); };
    el.addEventListener("mouseenter", () => clearTimeout(timer));
    el.addEventListener("mouseleave", fade);
    fade();
  }
  let muted;
  document.addEventListener("toast", (e) => {
    const { text: message, kind } = e.detail;
    if (message === muted) muted = undefined;
    else toast(message, kind);
  });

  // What is asked for by the clock is no sign that somebody is there: it keeps no session alive.
  document.addEventListener("htmx:config:request", (e) => {
    const { sourceElement, sourceEvent, request } = e.detail.ctx;
    const trigger = sourceElement?.getAttribute?.("hx-trigger") ?? "";
    if (/\bevery \d/.test(trigger) && !sourceEvent?.isTrusted) request.headers["X-Zhike-Passive"] = "1";
  });
  // 401, 409, 422 and what names its place carry a form again; any other refusal must not replace what one works on.
  document.addEventListener("htmx:before:response", (e) => {
    const { response, sourceElement } = e.detail.ctx;
    if (response.status < 400 || [401, 409, 422].includes(response.status) || response.headers.has("HX-Retarget")) return;
    e.preventDefault();
    const events = JSON.parse(response.headers.get("HX-Trigger") || "{}"), told = (events.toast ?? events.login)?.text;
    if (told) {
      if (sourceElement?.closest?.("[data-panel]")) failed(sourceElement, muted = told);
      return;  // the event is a toast already, or the login form
    }
    response.raw.text().then((body) => {
      const told = new DOMParser().parseFromString(body, "text/html").querySelector("[data-error]");
      failed(sourceElement, told?.textContent.trim() || text("failed", { status: response.status }));
    });
  });
  document.addEventListener("htmx:error", (e) => {
    if (e.detail.ctx) failed(e.detail.ctx.sourceElement, text("offline"));
  });
  function failed(el, message) {
    const panel = el?.closest?.("[data-panel]");
    if (!panel) return toast(message, "danger");
    const again = make("button", { type: "button", class: "btn btn-sm", onclick: () => window.htmx.trigger(panel, "zk:load") }, text("again"));
    panel.replaceChildren(make("div", { class: "zk-panel-failed" }, make("p", {}, message), again));
  }

  // What was shown for a reason is not there any more when the page comes back from the history.
  addEventListener("pagehide", () => { for (const el of document.querySelectorAll("[data-revealed]")) el.textContent = "••••"; });

  const isDark = () => document.documentElement.getAttribute("data-bs-theme") === "dark";
  const css = (name, el = document.documentElement) => getComputedStyle(el).getPropertyValue(name).trim();
  const number = (value) => new Intl.NumberFormat(locale).format(value);
  function csrf(token) {
    const headers = "hx-headers:inherited", found = JSON.parse(document.body.getAttribute(headers) || "{}");
    if (token) {
      document.body.setAttribute(headers, JSON.stringify({ ...found, "X-CSRF-Token": token }));
      for (const field of document.querySelectorAll("input[name=csrf_token]")) field.value = token;
    }
    return token ?? found["X-CSRF-Token"];
  }
  const debounce = (wait, act) => { let timer; return (...args) => { clearTimeout(timer); timer = setTimeout(act, wait, ...args); }; };
  return { widget, scan, load, text, toast, make, icon, json, css, number, isDark, csrf, debounce, locale };
})();
