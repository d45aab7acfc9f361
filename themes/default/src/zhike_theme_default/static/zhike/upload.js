// A file that is sent with its form: dropped or chosen, with progress; one that is cut off stays chosen.
zhike.widget("upload", (el) => {
  const form = el.closest("form"), input = el.querySelector("input[type=file]"), drop = el.querySelector(".zk-upload-drop");
  const [chosen, bar, told] = ["chosen", "progress", "error"].map((role) => el.querySelector(`[data-role=${role}]`));
  const said = JSON.parse(el.dataset.said), nothing = chosen.textContent, most = el.dataset.most * 1048576;
  let sending = null;

  function fail(message) {
    told.textContent = message;
    told.parentElement.hidden = !message;
    input.toggleAttribute("aria-invalid", Boolean(message));
  }
  function size(bytes) {
    return bytes < 1048576 ? `${zhike.number(Math.ceil(bytes / 1024))} KB` : `${zhike.number(Math.round(bytes / 104857.6) / 10)} MB`;
  }
  function look() {
    const file = input.files[0];
    chosen.textContent = file ? `${file.name} · ${size(file.size)}` : nothing;
    fail(file && file.size > most ? said.large : "");
  }
  function busy(on) {
    bar.hidden = !on;
    for (const button of form.querySelectorAll("[type=submit]")) { button.classList.toggle("zk-busy", on); button.setAttribute("aria-disabled", on); }
  }
  function ended(request) {
    sending = null;
    busy(false);
    const onward = request.getResponseHeader("HX-Redirect");
    if (onward) {
      form.dispatchEvent(new Event("reset", { bubbles: true }));  // nothing is unsaved any more
      return location.assign(onward);
    }
    const events = JSON.parse(request.getResponseHeader("HX-Trigger") || "{}");
    if (events.login) el.dispatchEvent(new CustomEvent("login", { detail: events.login, bubbles: true }));
    const page = new DOMParser().parseFromString(request.responseText, "text/html");
    fail(page.querySelector("[data-role=error]")?.textContent || (events.toast ?? events.login)?.text || said.failed);
    input.focus();
  }
  function send(e) {
    e.preventDefault();
    if (sending) return;
    if (!input.files.length) return fail(said.none);
    if (input.files[0].size > most) return fail(said.large);
    fail("");
    bar.value = 0;
    busy(true);
    const request = sending = new XMLHttpRequest();
    request.upload.onprogress = (at) => { if (at.lengthComputable) bar.value = 100 * at.loaded / at.total; };
    request.onload = () => ended(request);
    request.onerror = request.onabort = () => { sending = null; busy(false); fail(said.cut); };
    request.open("POST", form.action);
    request.setRequestHeader("HX-Request-Type", "partial");
    request.setRequestHeader("X-CSRF-Token", zhike.csrf());
    request.send(new FormData(form));
  }
  const over = (on) => (e) => { e.preventDefault(); drop.classList.toggle("zk-upload-over", on); };
  drop.addEventListener("dragover", over(true));
  drop.addEventListener("dragleave", over(false));
  drop.addEventListener("drop", (e) => {
    over(false)(e);
    if (e.dataTransfer.files.length !== 1) return;
    input.files = e.dataTransfer.files;
    input.dispatchEvent(new Event("input", { bubbles: true }));
    input.dispatchEvent(new Event("change", { bubbles: true }));
  });
  input.addEventListener("change", look);
  form.addEventListener("submit", send);
  return () => { form.removeEventListener("submit", send); sending?.abort(); };
});
