// The library: cards, uploads, looks at single files.

import { get, post, remove, upload } from "./api.js";
import * as avatars from "./avatars.js";
import { by, bytes, confirmed, dialog, duration, el, say, trouble } from "./dom.js";

const KINDS = [["", "Everything"], ["avatar", "Avatars"], ["picture", "Pictures"], ["video", "Videos"], ["motion", "Motions"], ["unknown", "Can't be used"]];
const SIGNS = { weights: "weights", job: "job file", unknown: "no picture" };

export const library = { files: [], changed: new EventTarget() };
let shown = "";
let use = () => {};

export const short = (file) => file.filename.split("/").pop();
export const named = (id) => library.files.find((file) => file.id === id);
export const ofKind = (kind) => library.files.filter((file) => file.kind === kind && file.usable);

/** Reads the library again. */
export async function refresh() {
  const list = await get("/v1/files");
  library.files = list.data;
  draw();
  library.changed.dispatchEvent(new Event("change"));
  if (list.checking > 0) setTimeout(() => refresh().catch(trouble), 400);
}

export function facts(file) {
  const f = file.facts;
  const parts = [];
  if (f.width) parts.push(`${f.width}×${f.height}`);
  if (f.frames) parts.push(`${f.frames} frames`);
  if (f.seconds) parts.push(`${f.seconds.toFixed(1)} s at ${Math.round(f.fps * 100) / 100}`);
  if (f.gaussians) parts.push(`${f.gaussians.toLocaleString("en")} Gaussians`);
  if (f.sound) parts.push("sound");
  parts.push(bytes(file.bytes));
  return parts.join(" · ");
}

function thumbnail(file) {
  const sign = () => el("span", { aria: { hidden: "true" } }, SIGNS[file.kind] ?? "no picture yet");
  const place = el("div", { class: "pic" });
  if (file.usable && ["avatar", "picture", "video", "motion"].includes(file.kind)) {
    const picture = el("img", { src: `/v1/files/${file.id}/thumbnail?placeholder=true`, alt: "", loading: "lazy", width: 320, height: 200, on: { error: () => place.replaceChildren(sign()) } });
    place.append(picture);
  } else {
    place.append(sign());
  }
  return place;
}

function card(file) {
  const label = file.checking ? "looking into it…" : file.kind === "unknown" ? "can't be used" : file.kind;
  const button = (text, click, more = {}) =>
    el("button", { type: "button", ...more, aria: { label: `${text}: ${short(file)}` }, on: { click: () => Promise.resolve(click()).catch(trouble) } }, text);
  const actions = [];
  if (file.usable && ["avatar", "picture", "video", "motion"].includes(file.kind)) actions.push(button("Use", () => use(file)));
  if (file.kind === "avatar") actions.push(button("Turn round", () => turn(file)));
  if (file.usable && file.kind === "picture") actions.push(button("Make an avatar", () => avatars.ask(file)));
  if (file.usable && file.kind === "video") actions.push(button("Look", () => film(file)));
  actions.push(button("Delete", async () => {
    if (!(await confirmed(`Delete ${short(file)}?`, "Delete it"))) return;
    await remove(`/v1/files/${file.id}`);
    say(`${short(file)} is deleted`);
    await refresh();
  }, { class: "danger" }));
  return el("li", { class: "card", data: { id: file.id, kind: file.kind } },
    thumbnail(file),
    el("div", { class: "body" },
      el("span", { class: "name" }, short(file)),
      el("span", {}, el("span", { class: "badge" }, label), file.facts.what && file.kind !== "unknown" ? el("span", { class: "quiet" }, ` ${file.facts.what}`) : null),
      el("span", { class: "quiet" }, facts(file)),
      file.problem ? el("p", { class: "bad" }, file.problem) : null,
      ...(file.facts.notes ?? []).slice(0, 3).map((note) => el("p", { class: "note" }, note)),
      el("div", { class: "row" }, ...actions),
    ));
}

function draw() {
  const files = library.files.filter((file) => shown === "" || file.kind === shown || (shown === "unknown" && !file.usable && !file.checking));
  // What has the focus keeps it when the list is drawn anew.
  const focused = document.activeElement?.closest?.("#cards [data-id]")?.dataset.id;
  const text = document.activeElement?.textContent;
  by("cards").replaceChildren(...files.map(card));
  if (focused) {
    const again = [...by("cards").querySelectorAll(`[data-id="${focused}"] button`)].find((b) => b.textContent === text);
    again?.focus();
  }
  by("empty").hidden = library.files.length > 0;
  by("demo").className = library.files.length === 0 ? "main" : "";
}

/** A picture that turns: frames side by side, one after the other. */
export function turning(url, count) {
  const place = el("div", { class: "turn", role: "img", aria: { label: "The avatar, turning round" } });
  const slider = el("input", { type: "range", min: 0, max: count - 1, value: 0, aria: { label: "Turn" } });
  const show = (i) => {
    place.style.backgroundPosition = `${(100 * i) / (count - 1)}% 0`;
    slider.value = i;
  };
  place.style.backgroundImage = `url("${url}")`;
  place.style.backgroundSize = `${100 * count}% 100%`;
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  let at = 0;
  const timer = still ? 0 : setInterval(() => { at = (at + 1) % count; show(at); }, 1000 / 12);
  slider.addEventListener("input", () => { clearInterval(timer); show(Number(slider.value)); });
  show(0);
  return { parts: [place, slider], stop: () => clearInterval(timer) };
}

function turn(file) {
  const count = 36;
  const { parts, stop } = turning(`/v1/files/${file.id}/turntable?count=${count}&height=256`, count);
  dialog(short(file), [...parts, el("p", { class: "quiet" }, facts(file))], stop);
}

/** A film strip with the first and the last frame to choose; `taken` gets the part. */
export function film(file, part = {}, taken = (chosen) => use(file, chosen)) {
  const frames = file.facts.frames ?? 1;
  const [before, after] = [el("span", { class: "shade" }), el("span", { class: "shade end" })];
  const strip = el("img", { src: `/v1/files/${file.id}/strip?count=12&height=80`, alt: `Frames of ${short(file)} from start to end` });
  const first = el("input", { type: "range", min: 0, max: frames - 1, value: part.start ?? 0 });
  const last = el("input", { type: "range", min: 1, max: frames, value: part.end ?? frames });
  const text = el("p", { class: "quiet" });
  const show = () => {
    if (Number(last.value) <= Number(first.value)) last.value = Number(first.value) + 1;
    before.style.width = `${(100 * first.value) / frames}%`;
    after.style.width = `${100 - (100 * last.value) / frames}%`;
    text.textContent = `Frames ${first.value} to ${last.value - 1}: ${duration((last.value - first.value) / (file.facts.fps ?? 30))}`;
  };
  first.addEventListener("input", show);
  last.addEventListener("input", show);
  show();
  const box = dialog(short(file), [
    el("div", { class: "film" }, strip, before, after),
    el("label", {}, "First frame", first),
    el("label", {}, "Stop before frame", last),
    text,
    el("p", { class: "row" }, el("button", { type: "button", class: "main", on: { click: () => { box.close(); taken({ start: Number(first.value), end: Number(last.value) }); } } }, "Use this part")),
  ]);
}

async function take(files) {
  for (const file of files) {
    const stop = new AbortController();
    const bar = el("progress", { max: 1, value: 0, aria: { label: `Upload of ${file.name}` } });
    const text = el("span", { class: "quiet" }, "waiting");
    const cancel = el("button", { type: "button", aria: { label: `Stop the upload of ${file.name}` }, on: { click: () => stop.abort() } }, "Stop");
    const row = el("li", {}, el("span", {}, `${file.name} `, text), cancel, bar);
    by("uploads").append(row);
    upload(file, (done, all) => {
      bar.value = all ? done / all : 1;
      text.textContent = `${bytes(done)} of ${bytes(all)}`;
    }, stop.signal).then(async (made) => {
      row.remove();
      say(`${file.name} is in the library`);
      await refresh();
      if (made.problem) by("cards").querySelector(`[data-id="${made.id}"]`)?.scrollIntoView({ block: "nearest" });
    }).catch((error) => {
      if (stop.signal.aborted) return row.remove();
      text.className = "problem";
      text.textContent = error.message;
      cancel.textContent = "Remove";
      cancel.onclick = () => row.remove();
    });
  }
}

export function start(onUse) {
  use = onUse;
  avatars.start(onUse);
  for (const [kind, label] of KINDS) {
    by("kinds").append(el("label", {}, el("input", { type: "radio", name: "kind", value: kind, checked: kind === "", on: { change: () => { shown = kind; draw(); } } }), label));
  }
  by("choose").addEventListener("click", () => by("files").click());
  by("files").addEventListener("change", (event) => { take([...event.target.files]); event.target.value = ""; });
  by("demo").addEventListener("click", async () => {
    try {
      const { data } = await post("/v1/demo");
      await refresh();
      say("The demo scene is in the library");
      data.forEach((file) => use(file, {}, false));
    } catch (error) { trouble(error); }
  });
  const drop = by("drop");
  addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
  addEventListener("dragleave", (event) => { if (!event.relatedTarget) drop.classList.remove("over"); });
  addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    const files = [...(event.dataTransfer?.files ?? [])];
    if (files.length) { location.hash = "library"; take(files); }
  });
}
