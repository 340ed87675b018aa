// Videos: jobs as they run, and results.

import { post, remove } from "./api.js";
import { by, confirmed, dialog, duration, el, say, trouble } from "./dom.js";

const jobs = new Map();
let takeUp = () => {};

const STATES = { queued: "waiting", running: "being made", paused: "paused", completed: "done", failed: "failed", cancelled: "cancelled" };

/** Hears of a video. */
export function heard(video) {
  const before = jobs.get(video.id);
  jobs.set(video.id, video);
  if (before && before.state !== video.state) say(`${video.title} is ${STATES[video.state]}`);
  drawSoon();
}

export function gone(id) {
  jobs.delete(id);
  drawSoon();
}

/** Those that there are: others went while nobody listened. */
export function only(ids) {
  const there = new Set(ids);
  for (const id of [...jobs.keys()]) if (!there.has(id)) jobs.delete(id);
  drawSoon();
}

let due = 0;
function drawSoon() {
  if (due) return;
  due = setTimeout(() => { due = 0; draw(); }, 60);
}

function progress(video) {
  const d = video.details;
  const parts = [];
  if (d.stage) parts.push(d.stage);
  if (d.windows > 1 && d.stage) parts.push(`window ${d.window} of ${d.windows}`);
  if (d.stage && d.steps) parts.push(`${Math.min(d.steps, Math.floor(d.step) + (d.stage === "denoise" ? 1 : 0))} of ${d.steps}`);
  if (d.seconds_left !== null) parts.push(`about ${duration(d.seconds_left)} left`);
  return [
    el("progress", { max: 100, value: video.progress, aria: { label: `${video.title}: ${video.progress} %` } }),
    el("p", { class: "quiet" }, `${video.progress} %`, parts.length ? ` · ${parts.join(" · ")}` : ""),
  ];
}

function picture(video) {
  const place = el("div", { class: "pic" });
  if (video.variants.includes("thumbnail")) place.append(el("img", { src: `/v1/videos/${video.id}/content?variant=thumbnail&placeholder=true`, alt: "", loading: "lazy" }));
  else if (video.preview_step !== null && video.state === "running") place.append(el("img", { src: `/v1/videos/${video.id}/preview?step=${video.preview_step}&placeholder=true`, alt: `A rough look after step ${video.preview_step}` }));
  else place.append(el("span", { aria: { hidden: "true" } }, { running: "no picture yet", failed: "no picture", cancelled: "no picture" }[video.state] ?? "waiting"));
  return place;
}

function actions(video) {
  const act = (name, label, done) => el("button", { type: "button", data: { action: name }, aria: { label: `${label}: ${video.title}` }, on: { click: async () => {
    try { heard(await post(`/v1/videos/${video.id}/${name}`)); trouble(null); if (done) say(done); } catch (error) { trouble(error); }
  } } }, label);
  const out = [];
  if (video.state === "completed") out.push(el("button", { type: "button", class: "main", data: { action: "open" }, aria: { label: `Open ${video.title}` }, on: { click: () => open(video) } }, "Open"));
  if (video.state === "running" || video.state === "queued") out.push(act("pause", "Pause"));
  if (video.state === "paused") out.push(act("resume", "Go on"));
  if (video.state === "failed" || video.state === "cancelled") out.push(act("resume", "Try again"));
  if (video.state === "queued" && video.queue_position > 0) out.push(act("first", "Make it first"));
  if (["running", "queued", "paused"].includes(video.state)) out.push(act("cancel", "Cancel"));
  out.push(el("button", { type: "button", data: { action: "again" }, aria: { label: `Use its settings: ${video.title}` }, on: { click: () => takeUp(video.id).catch(trouble) } }, "Use its settings"));
  out.push(el("button", { type: "button", class: "danger", data: { action: "delete" }, aria: { label: `Delete ${video.title}` }, on: { click: async () => {
    if (!(await confirmed(`Delete ${video.title} and all that was made of it?`, "Delete it"))) return;
    try { await remove(`/v1/videos/${video.id}`); } catch (error) { trouble(error); }
  } } }, "Delete"));
  return out;
}

function card(video) {
  const state = video.state === "queued" && video.queue_position !== null ? `waiting, ${video.queue_position === 0 ? "next" : `${video.queue_position} before it`}` : STATES[video.state];
  const took = video.state === "completed" && video.started_at ? `, took ${duration(video.completed_at - video.started_at)}` : "";
  const facts = [video.size.replace("x", "×"), video.frames && `${video.frames} frames`, video.seconds && `${video.seconds} s`].filter(Boolean).join(" · ");
  return el("li", { class: "job", data: { id: video.id, state: video.state } },
    picture(video),
    el("div", { class: "body" },
      el("h3", {}, video.title),
      el("p", {}, el("span", { class: "badge" }, state + took), el("span", { class: "quiet" }, ` ${facts}`)),
      ...(["running", "paused"].includes(video.state) ? progress(video) : []),
      video.error && video.state !== "cancelled" ? el("p", { class: "bad" }, video.error.message) : null,
      ...(video.state === "completed" && video.figures?.words.length ? [el("p", { class: "quiet" }, video.figures.words[0])] : []),
      el("div", { class: "row" }, ...actions(video)),
    ));
}

/** Draws the cards that changed, and only those: what has the focus keeps it. */
function draw() {
  const list = by("jobs");
  const wanted = [...jobs.values()].sort((a, b) => (a.id < b.id ? 1 : -1));
  const there = new Map([...list.children].map((card) => [card.dataset.id, card]));
  for (const [id, old] of there) if (!jobs.has(id)) old.remove();
  let after = null;
  for (const video of wanted) {
    const key = JSON.stringify(video);
    let now = there.get(video.id);
    if (!now || now.drawnOf !== key) {
      const fresh = card(video);
      fresh.drawnOf = key;
      const action = now?.contains(document.activeElement) ? document.activeElement.dataset.action : null;
      if (now) now.replaceWith(fresh);
      now = fresh;
      if (!now.isConnected) after ? after.after(now) : list.prepend(now);
      if (action) (now.querySelector(`[data-action="${action}"]`) ?? now.querySelector("button"))?.focus();
    }
    after = now;
  }
  by("no-videos").hidden = jobs.size > 0;
  const busy = wanted.filter((video) => ["queued", "running"].includes(video.state)).length;
  by("count").hidden = busy === 0;
  by("count").textContent = busy ? `${busy} to do` : "";
}

/** Condition and result under one slider, played together. */
function slider(video) {
  const at = (variant) => `/v1/videos/${video.id}/content?variant=${variant}`;
  const film = (variant, label, more = "") => el("video", { src: at(variant), muted: true, loop: true, playsInline: true, preload: "auto", class: more, aria: { label } });
  const result = film("video", "The result");
  if (!video.variants.includes("condition")) {
    result.controls = true;
    result.muted = false;
    return [el("div", { class: "screen" }, result)];
  }
  const condition = film("condition", "The composite that it was made from", "over");
  const split = el("input", { type: "range", min: 0, max: 100, value: 50, aria: { label: "How much of the composite is seen", valuetext: "50 %" } });
  const show = () => {
    condition.style.clipPath = `inset(0 ${100 - split.value}% 0 0)`;
    split.setAttribute("aria-valuetext", `${split.value} %`);
  };
  split.addEventListener("input", show);
  show();
  const button = el("button", { type: "button", on: { click: () => (result.paused ? result.play() : result.pause()) } }, "Play");
  const scrub = el("input", { type: "range", min: 0, max: 1000, value: 0, aria: { label: "Time" }, on: { input: () => { result.pause(); result.currentTime = (scrub.value / 1000) * (result.duration || 0); } } });
  const along = () => { if (Math.abs(condition.currentTime - result.currentTime) > 0.04) condition.currentTime = result.currentTime; };
  result.addEventListener("play", () => { button.textContent = "Pause"; condition.play().catch(() => {}); });
  result.addEventListener("pause", () => { button.textContent = "Play"; condition.pause(); along(); });
  result.addEventListener("seeked", along);
  result.addEventListener("timeupdate", () => { along(); if (result.duration) scrub.value = (1000 * result.currentTime) / result.duration; });
  return [
    el("div", { class: "screen" }, result, condition),
    el("label", {}, "Composite on the left, result on the right", split),
    el("div", { class: "bar" }, button, scrub, el("span", {})),
  ];
}

function open(video) {
  const at = (variant) => `/v1/videos/${video.id}/content?variant=${variant}`;
  const links = [el("a", { href: at("video"), download: `${video.title}.mp4` }, "Download the video")];
  if (video.variants.includes("report")) links.push(el("a", { href: at("report"), target: "_blank", rel: "noopener" }, "Report"));
  links.push(el("a", { href: `/v1/videos/${video.id}/job?format=toml`, download: "job.toml" }, "Job file"));
  const movie = video.variants.includes("thumbnail");
  const panels = video.variants.includes("panels") ? el("details", {}, el("summary", {}, "Four panels: reference, body, composite, result"), el("video", { src: at("panels"), controls: true, loop: true, muted: true, playsInline: true, preload: "metadata", aria: { label: "Four panels" } })) : null;
  const stages = video.details.stages.filter((stage) => stage.seconds > 0 || stage.cached);
  const box = dialog(video.title, [
    ...(movie ? slider(video) : []),
    video.figures?.words.length ? el("ul", {}, ...video.figures.words.map((words) => el("li", {}, words))) : null,
    el("p", { class: "row" }, ...links, el("button", { type: "button", on: { click: () => { box.close(); takeUp(video.id).catch(trouble); } } }, "Use its settings")),
    panels,
    stages.length ? el("details", {}, el("summary", {}, "Time by stage"), el("table", {}, el("tbody", {}, ...stages.map((stage) => el("tr", {}, el("th", { scope: "row" }, stage.name), el("td", { class: "num" }, stage.cached ? "was there" : duration(stage.seconds))))))) : null,
    video.warnings.length ? el("details", {}, el("summary", {}, `What the run had to say (${video.warnings.length})`), el("ul", {}, ...video.warnings.map((words) => el("li", {}, words)))) : null,
  ].filter(Boolean));
}

export function start(onTakeUp) {
  takeUp = onTakeUp;
  draw();
}
