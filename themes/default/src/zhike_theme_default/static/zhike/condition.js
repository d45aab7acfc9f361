// The condition builder: draws the JSON of a textarea as nested groups, and writes it back at every change.
(() => {
  const { make, icon, text } = zhike;
  const MEASURES = ["count", "sum", "avg", "min", "max", "distinct", "active_days", "days_since_first", "days_since_last"];
  const OF = new Set(["sum", "avg", "min", "max", "distinct"]);
  const ABSENT = new Set(["avg", "min", "max", "days_since_first", "days_since_last"]);
  const NUMBER_OPS = ["gte", "lte", "gt", "lt", "eq", "ne", "between"];
  const UNITS = { D: "days", W: "weeks", M: "months", Y: "years" };
  const EVENT_FIELDS = [["event.amount", "number", NUMBER_OPS], ["event.source", "text", ["eq", "ne", "in", "not_in"]]];
  const PROPERTY_OPS = ["eq", "ne", "gt", "gte", "lt", "lte", "contains", "starts_with", "is_set", "is_not_set"];
  const catalogues = new Map();

  // {"fields": [{field, label, type, ops, group?, options?, pick?}], "events": [{name, label, properties: [{key, label, type}]}]}
  function catalogue(url) {
    if (!catalogues.has(url)) catalogues.set(url, fetch(url, { headers: { Accept: "application/json" } }).then((r) => {
      if (!r.ok) throw new Error(r.status);
      return r.json();
    }).catch((error) => { catalogues.delete(url); throw error; }));
    return catalogues.get(url);
  }

  // Whether every rule has a value, so that the server can be asked.
  function complete(node) {
    if (node.where && !complete(node.where)) return false;
    if (["all", "any", "not"].includes(node.type)) return [node.of].flat().every(complete);
    if (["is_set", "is_not_set", "anniversary"].includes(node.op)) return true;
    const given = (value) => value != null && value !== "";
    return Array.isArray(node.value) ? node.value.length > 0 && node.value.every(given) : given(node.value);
  }

  const option = (value, label, chosen) => make("option", { value, selected: value === chosen }, label);
  function select(label, pairs, chosen, act, cls = "") {
    const known = pairs.some(([value]) => value === chosen);
    const el = make("select", { class: `form-select ${cls}`, "aria-label": label, onchange: () => act(el.value) },
      ...pairs.map(([value, shown]) => option(value, shown, chosen)), known || chosen == null ? null : option(chosen, chosen, chosen));
    return el;
  }
  function input(label, value, act, attributes = {}) {
    const el = make("input", { class: "form-control", "aria-label": label, value: value ?? "", ...attributes, oninput: () => act(el.value) });
    return el;
  }
  const remove = (act) => make("button", { type: "button", class: "btn btn-ghost btn-icon btn-sm zk-rule-end", "aria-label": text("remove"), onclick: act }, icon("x"));
  const button = (label, drawn, act) => make("button", { type: "button", class: "btn btn-sm", onclick: act }, icon(drawn), label);

  // ISO 8601 durations of one unit, which is all the builder writes.
  function duration(node, key, change, whole) {
    const [, n = "30", unit = "D"] = /^P(\d+)([DWMY])$/.exec(node[key] ?? "") ?? [];
    const put = (count, kind) => { node[key] = `P${Math.max(1, parseInt(count, 10) || 1)}${kind}`; change(); };
    const none = whole && !node[key];
    const count = input(text("value"), n, (value) => put(value, units.value), { type: "number", min: 1, class: "form-control zk-short" });
    const units = select(text("unit"), [...(whole ? [["", text("ever")]] : []), ...Object.entries(UNITS).map(([k, v]) => [k, text(v)])], none ? "" : unit,
      (kind) => { if (kind) put(count.value, kind); else { delete node[key]; change(); } count.hidden = !kind; });
    count.hidden = none;
    if (!none && !node[key]) node[key] = `P${n}${unit}`;
    return [count, units];
  }
  const parsed = (value, type) => (type === "number" ? (value === "" ? null : Number(value)) : type === "boolean" ? value === "true" : value);

  function valueInputs(node, field, change) {
    const { type = "text", options, pick } = field, put = (value) => { node.value = value; change(); };
    const kind = type === "number" ? "number" : type === "instant" ? "date" : "text";
    const attributes = { type: kind, step: kind === "number" ? "any" : null, class: `form-control ${kind === "number" ? "zk-short" : ""}` };
    if (["is_set", "is_not_set"].includes(node.op)) { delete node.value; return []; }
    if (["within_last", "anniversary"].includes(node.op)) return duration(node, "value", change);
    if (node.op === "between") {
      const pair = Array.isArray(node.value) ? node.value : node.value = [null, null];
      return [input(text("value"), pair[0], (v) => { pair[0] = parsed(v, type); change(); }, attributes), make("span", {}, text("and")),
        input(text("value"), pair[1], (v) => { pair[1] = parsed(v, type); change(); }, attributes)];
    }
    const several = ["in", "not_in"].includes(node.op);
    if (several && !Array.isArray(node.value)) node.value = node.value == null || node.value === "" ? [] : [node.value];
    if (!several && Array.isArray(node.value)) node.value = node.value[0] ?? null;
    if (type === "boolean") {
      node.value ??= true;
      return [select(text("value"), [["true", text("yes")], ["false", text("no")]], String(several ? node.value[0] : node.value), (v) => put(several ? [v === "true"] : v === "true"))];
    }
    if (options && !several) {
      node.value ??= options[0]?.value;
      return [select(text("value"), options.map((o) => [String(o.value), o.label]), String(node.value ?? ""), (v) => put(parsed(v, type)))];
    }
    if (several || pick) {
      const current = [node.value].flat().filter((v) => v != null && v !== "").map(String);
      const el = make("select", { class: "form-select", multiple: several, "aria-label": text("value"), "data-url": pick ? `/search/pick?kind=${pick}` : "",
        "data-create": !options && !pick, "data-placeholder": text("value") }, several ? null : option("", ""),
        ...[...new Set([...current, ...(options ?? []).map((o) => String(o.value))])].map((v) => {
          const el = option(v, options?.find((o) => String(o.value) === v)?.label ?? v);
          el.selected = current.includes(v);
          return el;
        }));
      queueMicrotask(() => Promise.all((zhike.json("zhike-widgets").picker ?? []).map(zhike.load)).then(() => {
        if (el.isConnected) zhike.enhance(el, { onChange: (v) => put(several ? [v].flat().map((one) => parsed(one, type)) : parsed(v, type)) });
      }));
      return [el];
    }
    const shown = kind === "date" ? String(node.value ?? "").slice(0, 10) : node.value;
    return [input(text("value"), shown, (v) => put(parsed(v, type)), attributes)];
  }

  function builder(root, area, data) {
    const events = data.events ?? [], fields = data.fields ?? data.items ?? [];
    const counter = root.querySelector(".zk-condition-count");
    let tree;
    const ask = zhike.debounce(450, () => {
      if (!counter) return;
      if (complete(tree)) window.htmx.trigger(counter, "zk:count");
      else counter.textContent = text("incomplete");
    });
    const write = () => { area.value = JSON.stringify(tree); area.dispatchEvent(new Event("input", { bubbles: true })); ask(); };
    const holder = root.querySelector("[data-role=builder]");
    // What is drawn again has the focus where it was, or the keyboard would begin at the top of the page.
    function replace(el, drawn) {
      const all = () => [...holder.querySelectorAll("select, input, button")], at = all().indexOf(document.activeElement);
      el.replaceWith(drawn);
      if (at >= 0) all()[Math.min(at, all().length - 1)].focus();
    }

    function fieldOf(key, inside) {
      if (inside) {
        const own = EVENT_FIELDS.find(([name]) => name === key);
        return own ? { field: key, type: own[1], ops: own[2] } : { field: key, type: propertyType(inside, key), ops: PROPERTY_OPS };
      }
      return fields.find((f) => f.field === key) ?? { ...fields.find((f) => f.field.endsWith("<key>")), field: key, label: key };
    }
    const properties = (event) => events.filter((e) => [event].flat().includes(e.name)).flatMap((e) => e.properties ?? []);
    const propertyType = (event, key) => properties(event).find((p) => `event.properties.${p.key}` === key)?.type ?? "text";

    function fieldRule(node, away, inside) {
      const field = fieldOf(node.field, inside), row = make("div", { class: "zk-rule" });
      const pairs = inside
        ? [...EVENT_FIELDS.map(([key]) => [key, key === "event.amount" ? text("amount") : key]), ...properties(inside).map((p) => [`event.properties.${p.key}`, p.label ?? p.key])]
        : fields.map((f) => [f.field, f.label]);
      const redraw = () => replace(row, fieldRule(node, away, inside));
      const parts = [select(text("field"), pairs, node.field, (key) => {
        if (key.endsWith("<key>")) key = key.replace("<key>", "");
        node.field = key;
        const next = fieldOf(key, inside);
        if (!next.ops?.includes(node.op)) node.op = next.ops?.[0] ?? "eq";
        delete node.value;
        redraw(); write();
      })];
      const prefix = "customer.attributes.";
      if (!inside && node.field.startsWith(prefix) && !fields.some((f) => f.field === node.field)) {
        parts.push(input(text("attribute"), node.field.slice(prefix.length), (key) => { node.field = prefix + key.trim(); write(); }, { class: "form-control zk-short" }));
      }
      parts.push(select(text("operator"), (field.ops ?? ["eq"]).map((op) => [op, text(`op.${op}`)]), node.op, (op) => { node.op = op; redraw(); write(); }));
      row.append(...parts, ...valueInputs(node, field, write), remove(away));
      return row;
    }
    function eventRule(node, away) {
      const row = make("div", { class: "zk-rule" }), redraw = () => { replace(row, eventRule(node, away)); write(); };
      const name = Array.isArray(node.event) ? node.event.length === 1 ? node.event[0] : node.event.join(" + ") : node.event;
      const pairs = [["*", text("any-event")], ...events.map((e) => [e.name, e.label ?? e.name])];
      const ops = node.type === "trend" ? ["gt", "gte", "lt", "lte", "between"] : [...NUMBER_OPS, ...(ABSENT.has(node.measure) ? ["is_set", "is_not_set"] : [])];
      row.append(icon(node.type === "trend" ? "trending-up" : "bolt"),
        select(text("add-event"), pairs, name, (event) => { if (!event.includes(" + ")) { node.event = event; delete node.where; delete node.of; if (OF.has(node.measure)) node.of = "amount"; redraw(); } }),
        select(text("value"), MEASURES.filter((m) => node.type === "event" || !m.startsWith("days_")).map((m) => [m, text(`measure.${m}`)]), node.measure, (measure) => {
          node.measure = measure;
          if (OF.has(measure)) node.of ??= "amount"; else delete node.of;
          redraw();
        }));
      if (OF.has(node.measure)) row.append(select(text("field"), [["amount", text("amount")], ...properties(node.event).map((p) => [`event.properties.${p.key}`, p.label ?? p.key])],
        node.of, (of) => { node.of = of; write(); }));
      row.append(make("span", { class: "zk-muted" }, text("within")), ...duration(node, "within", write, node.type === "event"),
        select(text("operator"), ops.map((op) => [op, text(`op.${op}`)]), node.op, (op) => { node.op = op; redraw(); }),
        ...valueInputs(node, { type: "number" }, write), remove(away));
      if (node.where) {
        if (!["all", "any", "not"].includes(node.where.type)) node.where = { type: "all", of: [node.where] };
        row.append(group(node.where, () => { delete node.where; redraw(); }, node.event));
      } else row.append(make("button", { type: "button", class: "btn btn-ghost btn-sm", onclick: () => {
        const [first] = properties(node.event);
        node.where = { type: "all", of: [first ? { type: "field", field: `event.properties.${first.key}`, op: "eq", value: null } : { type: "field", field: "event.amount", op: "gte", value: null }] };
        redraw();
      } }, icon("filter"), text("add-where")));
      return row;
    }
    // A group that is negated is {"not": {"any": […]}}: none of these holds.
    function group(node, away, inside) {
      const negated = node.type === "not", inner = negated ? (node.of.type === "any" ? node.of : (node.of = { type: "any", of: [node.of] })) : node;
      const kind = node.type;
      const box = make("div", { class: "zk-group", "data-type": kind, role: "group" });
      const redraw = () => { replace(box, group(node, away, inside)); write(); };
      const add = (child) => { inner.of.push(child); redraw(); };
      const items = inner.of.map((child, at) => {
        const gone = () => { inner.of.splice(at, 1); redraw(); };
        if (child.type === "field") return fieldRule(child, gone, inside);
        return ["event", "trend"].includes(child.type) ? eventRule(child, gone) : group(child, gone, inside);
      });
      const kinds = [["all", text("all")], ["any", text("any")], ["not", text("none")]];
      const head = make("div", { class: "zk-group-head" }, inside ? make("span", { class: "zk-muted" }, text("where")) : null,
        select(text("operator"), kinds, kind, (chosen) => {
          const { of } = inner;
          for (const key of Object.keys(node)) delete node[key];
          Object.assign(node, chosen === "not" ? { type: "not", of: { type: "any", of } } : { type: chosen, of });
          redraw();
        }), away ? remove(away) : null);
      const first = inside ? "event.amount" : fields[0]?.field;
      const foot = make("div", { class: "zk-group-foot" },
        button(text("add-condition"), "plus", () => add({ type: "field", field: first, op: fieldOf(first, inside).ops?.[0] ?? "eq", value: null })),
        inside ? null : button(text("add-event"), "bolt", () => add({ type: "event", event: events[0]?.name ?? "*", measure: "count", within: "P90D", op: "gte", value: 1 })),
        inside ? null : button(text("trend"), "trending-up", () => add({ type: "trend", event: events[0]?.name ?? "*", measure: "count", within: "P30D", op: "lt", value: -0.5 })),
        button(text("add-group"), "folders", () => add({ type: "any", of: [] })));
      box.append(head, make("div", { class: "zk-group-items" }, ...items), items.length || away ? "" : make("p", { class: "zk-help" }, text("empty-group")), foot);
      return box;
    }
    try {
      tree = JSON.parse(area.value.trim() || '{"type":"all","of":[]}');
      if (!["all", "any", "not"].includes(tree.type)) tree = { type: "all", of: [tree] };
      holder.replaceChildren(group(tree, null));
      area.hidden = true;
      ask();
    } catch { holder.replaceChildren(make("p", { class: "zk-help" }, text("invalid-condition"))); }
  }
  zhike.widget("condition", (root) => {
    const area = root.querySelector("textarea");
    catalogue(root.dataset.catalogue).then((data) => { if (root.isConnected) builder(root, area, data); }, () => zhike.toast(text("offline"), "danger"));
  });
})();
