// What has just come in, put above a table's rows every other second; it waits while nobody looks at the table's top.
zhike.widget("tail", (el) => {
  const { url, table: id, every = "2000", most = "200" } = el.dataset;
  let position = el.dataset.position, timer, told = "";
  const table = () => document.getElementById(id);
  const say = (state, text) => {
    if (text !== told) el.textContent = told = text;
    el.dataset.state = state;
  };
  const busy = () => document.hidden || window.scrollY > 200 || table()?.querySelector(".zk-unfolded, tbody input:checked");

  async function look() {
    if (busy()) return say("paused", el.dataset.paused);
    try {
      const answer = await fetch(`${url}${url.includes("?") ? "&" : "?"}position=${position}`, { headers: { "HX-Request-Type": "partial", "X-Zhike-Passive": "1" } });
      if (!answer.ok) throw new Error(String(answer.status));
      const found = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (!el.isConnected || busy()) return;  // what was found is looked for again
      position = found.querySelector("[data-position]").dataset.position;
      show([...found.querySelectorAll("tbody tr")]);
      say("live", el.dataset.live);
    } catch { say("offline", el.dataset.offline); }
  }
  function show(rows) {
    const body = table()?.querySelector("tbody");
    if (!rows.length) return;
    if (!body) return window.htmx.ajax("GET", window.location.href, { target: `#${id}`, swap: "outerHTML" });
    const known = new Set([...body.rows].map((row) => row.dataset.row));
    const fresh = rows.filter((row) => !known.has(row.dataset.row));
    for (const row of fresh) row.classList.add("zk-new");
    body.prepend(...fresh);
    for (const row of fresh) window.htmx.process(row);
    while (body.rows.length > Number(most)) body.lastElementChild.remove();
  }
  const next = () => { timer = setTimeout(async () => { await look(); if (el.isConnected) next(); }, Number(every)); };
  next();
  return () => clearTimeout(timer);
});
