// A queue of things to decide on: a key each for what can be done, and the next one is reached without the mouse.
zhike.widget("queue", (el) => {
  const open = () => [...el.querySelectorAll("[data-queue-item]")];
  const current = () => document.activeElement?.closest?.("[data-queue-item]") ?? open()[0];
  function reach(item) {
    item?.focus({ preventScroll: true });
    item?.scrollIntoView({ block: "nearest" });
  }
  function key(e) {
    if (e.ctrlKey || e.metaKey || e.altKey || document.querySelector("dialog[open]")) return;
    if (e.target.closest?.("input, select, textarea, [contenteditable], .ts-wrapper")) return;
    const name = e.key.toLowerCase(), items = open(), at = items.indexOf(current());
    if (name === "j" || name === "k") return reach(items[document.activeElement?.closest?.("[data-queue-item]") ? at + (name === "j" ? 1 : -1) : 0]);
    const button = current()?.querySelector(`[data-key="${name}"]`);
    if (!button) return;
    e.preventDefault();
    button.click();
  }
  // What was decided on stays in its place as one line; the focus goes to the next one.
  function decided(e) {
    const line = el.querySelector("[data-decided]");
    if (!line) return;
    line.removeAttribute("data-decided");
    const after = open().find((item) => line.compareDocumentPosition(item) & Node.DOCUMENT_POSITION_FOLLOWING);
    reach(after ?? open()[0] ?? line);
  }
  document.addEventListener("keydown", key);
  document.addEventListener("htmx:after:settle", decided);
  return () => { document.removeEventListener("keydown", key); document.removeEventListener("htmx:after:settle", decided); };
});
