// Small helpers over the page. Text goes in as text, never as markup.

/** An element with properties and children; `on` has listeners, `data` and `aria` attributes. */
export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "on") for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    else if (name === "data") Object.assign(element.dataset, value);
    else if (name === "aria") for (const [key, text] of Object.entries(value)) element.setAttribute(`aria-${key}`, text);
    else if (name === "class") element.className = value;
    else if (name in element && name !== "list" && name !== "form") element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const by = (id) => document.getElementById(id);

/** Tells people who don't see the page. */
export function say(text) {
  by("said").textContent = "";
  setTimeout(() => { by("said").textContent = text; }, 50);
}

/** Shows what went wrong until something goes right. */
export function trouble(error) {
  const place = by("trouble");
  place.hidden = !error;
  place.textContent = error ? String(error.message ?? error) : "";
}

let onClose = null;

/** Shows a dialog; `close` is called when it goes. */
export function dialog(title, body, close = null) {
  const box = by("dialog");
  if (box.open) box.close();
  by("dialog-title").textContent = title;
  by("dialog-body").replaceChildren(...[body].flat());
  onClose = close;
  box.showModal();
  return box;
}

by("dialog")?.addEventListener("close", () => {
  onClose?.();
  onClose = null;
  by("dialog-body").replaceChildren();
});
by("dialog-close")?.addEventListener("click", () => by("dialog").close());

/** Asks before something that can't be taken back. */
export function confirmed(question, yes) {
  return new Promise((resolve) => {
    let answer = false;
    const box = dialog(question, el("p", { class: "row" },
      el("button", { type: "button", class: "danger", on: { click: () => { answer = true; box.close(); } } }, yes),
      el("button", { type: "button", on: { click: () => box.close() } }, "Keep it"),
    ), () => resolve(answer));
  });
}

export function bytes(count) {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (count >= 1024 && unit < units.length - 1) { count /= 1024; unit += 1; }
  return `${unit === 0 || count >= 100 ? Math.round(count) : count.toFixed(1)} ${units[unit]}`;
}

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "";
  if (seconds < 1) return "under a second";
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  const hours = Math.floor(seconds / 3600);
  return `${hours} h ${Math.round((seconds - hours * 3600) / 60)} min`;
}

/** Calls `f` once things have been quiet for a moment. */
export function calm(f, ms = 350) {
  let timer = 0;
  return (...all) => { clearTimeout(timer); timer = setTimeout(() => f(...all), ms); };
}
