// Menus and the navigation of narrow screens.
(() => {
  const menuOf = (button) => button.parentElement.querySelector(".dropdown-menu");
  let opened = null;

  function close(refocus) {
    if (!opened) return;
    menuOf(opened)?.classList.remove("show");
    opened.setAttribute("aria-expanded", "false");
    if (refocus) opened.focus();
    opened = null;
  }
  // A menu is placed beside its button by the window, so that no scrolling box cuts it off.
  function open(button) {
    close();
    const menu = menuOf(button), at = button.getBoundingClientRect();
    menu.classList.add("show");
    Object.assign(menu.style, { maxHeight: "", overflowY: "" });
    const width = menu.offsetWidth, end = menu.classList.contains("dropdown-menu-end");
    const left = Math.max(8, Math.min(end ? at.right - width : at.left, document.documentElement.clientWidth - width - 8));
    // Where there is room for it; what is longer than that is scrolled.
    const [above, under] = [at.top - 12, innerHeight - at.bottom - 12];
    const below = menu.offsetHeight <= under || under >= above, room = below ? under : above;
    if (menu.offsetHeight > room) Object.assign(menu.style, { maxHeight: `${room}px`, overflowY: "auto" });
    const top = below ? at.bottom + 4 : at.top - menu.offsetHeight - 4;
    Object.assign(menu.style, { position: "fixed", inset: "auto", left: `${left}px`, top: `${top}px` });
    button.setAttribute("aria-expanded", "true");
    opened = button;
    window.htmx?.trigger(menu, "zk:open");
    menu.querySelector("[autofocus]")?.focus();
  }
  document.addEventListener("click", (e) => {
    const button = e.target.closest("[data-menu]");
    if (button) return button === opened ? close() : open(button);
    if (opened && (!e.target.closest(".dropdown-menu") || e.target.closest(".dropdown-item:not([data-stay]), [data-close]"))) close();
    if (e.target.closest("[data-nav]")) document.body.classList.toggle("zk-nav-shown");
  });
  document.addEventListener("keydown", (e) => {
    if (e.key === "Escape") {
      if (opened) { e.preventDefault(); close(true); } else document.body.classList.remove("zk-nav-shown");
    }
    const step = { ArrowDown: 1, ArrowUp: -1 }[e.key];
    if (!opened || !step || e.target.matches("input:not([type=checkbox]), select, textarea")) return;
    const items = [...menuOf(opened).querySelectorAll(".dropdown-item, input, a, button")].filter((el) => !el.disabled && el.offsetParent !== null);
    e.preventDefault();
    items[(items.indexOf(document.activeElement) + step + items.length) % items.length]?.focus();
  });
  addEventListener("scroll", (e) => { if (opened && !menuOf(opened)?.contains(e.target)) close(); }, true);
  addEventListener("resize", () => close());

  // Filters that were unfolded on a narrow screen stay so when what they narrow is drawn again.
  const unfolded = new Set();
  zhike.widget("fold", (el) => {
    const button = el.querySelector("[aria-controls]"), id = button.getAttribute("aria-controls");
    const show = () => button.setAttribute("aria-expanded", String(unfolded.has(id)));
    button.addEventListener("click", () => { if (!unfolded.delete(id)) unfolded.add(id); show(); });
    show();
  });

  zhike.widget("toast", (el) => {
    const timer = setTimeout(() => el.remove(), el.querySelector("form") ? 20000 : 6000);
    el.querySelector(".btn-close").addEventListener("click", () => el.remove());
    return () => clearTimeout(timer);
  });
})();
