// Make a video: who, where, how; the composite beside it, and what it will take.

import { get, post } from "./api.js";
import { by, bytes, calm, duration, el, say, trouble } from "./dom.js";
import { film, library, named, ofKind, refresh } from "./library.js";
import { player } from "./player.js";
import * as settings from "./settings.js";

/** An avatar that stands where its motion says. */
const someone = () => ({ avatar: "", motion: "", place: {} });

const empty = () => ({
  mode: "scene", actors: [someone()], background: "", video: "", character: "", person: 1,
  model: "anicrafter-demo", until: "", size: "", prompt: "", title: "", start: "", end: "", steps: "", seed: "",
  match_light: false, contact_shadow: false, fit: "", occluders: [], strokes: [], more: {},
});

let state = empty();
let view = null;
let people = null;
let jobMade = () => {};

const short = (file) => file.filename.split("/").pop();
const number = (text) => (text === "" || text === null || Number.isNaN(Number(text)) ? undefined : Number(text));

/** The request that the form stands for. */
export function request() {
  const s = state;
  const job = structuredClone(s.more);
  const set = (section, name, value) => { if (value !== undefined && value !== "" && value !== false) (job[section] ??= {})[name] = value; };
  const whole = s.mode === "scene";
  const actors = s.actors.filter((actor) => actor.avatar).map((actor) => ({ avatar: path(actor.avatar), motion: whole || actor.motion ? path(actor.motion) : "", ...(Object.keys(actor.place).length ? { place: actor.place } : {}) }));
  set("input", "actors", actors.length ? actors : undefined);
  if (whole) set("input", "background", path(s.background));
  set("input", "character", path(s.character));
  set("input", "occluders", s.occluders.length ? s.occluders.map(path).filter(Boolean) : undefined);
  set("input", "strokes", s.strokes.length ? s.strokes : undefined);
  set("input", "start", number(s.start));
  set("input", "end", number(s.end));
  set("video", "match_light", s.match_light);
  set("video", "contact_shadow", s.contact_shadow);
  set("video", "fit", s.fit);
  if (actors.length > 1 && !job.video?.blend) set("video", "blend", "over");
  set("sampling", "steps", number(s.steps));
  set("sampling", "seed", number(s.seed));
  set("output", "until", s.until);
  const out = { model: s.model, job };
  if (!whole) out.video = path(s.video);
  if (!whole) out.person = s.person;
  if (s.size) out.size = s.size;
  if (s.prompt) out.prompt = s.prompt;
  if (s.title) out.title = s.title;
  return out;
}

const path = (id) => (id ? named(id)?.filename ?? id : "");
const ready = () => state.actors.some((a) => a.avatar) && (state.mode === "scene" ? state.background && state.actors.every((a) => !a.avatar || a.motion) : state.video);

function wants() {
  if (!state.actors.some((a) => a.avatar)) return "Choose an avatar: take one from the library, or make one from a picture.";
  if (state.mode === "replace") return "Choose the video in which somebody is replaced.";
  if (!state.background) return "Choose a background.";
  return "Choose a motion.";
}

const look = calm(async () => {
  if (!ready()) {
    view.clear(wants());
    by("plan").replaceChildren(el("p", { class: "quiet" }, wants()));
    by("queue").disabled = true;
    return;
  }
  by("queue").disabled = false;
  const now = request();
  view.open(now);
  try {
    drawPlan(await post("/v1/plan", now));
  } catch (error) {
    by("plan").replaceChildren(el("p", { class: "bad" }, error.message));
  }
}, 250);

function drawPlan(plan) {
  const rows = plan.stages.map((stage) => el("tr", {}, el("th", { scope: "row" }, stage.name), el("td", { class: "num" }, stage.expected_seconds === null ? "not yet known" : duration(stage.expected_seconds))));
  const fact = (name, value) => (value ? [el("dt", {}, name), el("dd", {}, value)] : []);
  by("plan").replaceChildren(
    ...plan.problems.map((problem) => el("p", { class: "bad" }, problem.message)),
    el("dl", { class: "facts" },
      ...fact("Video", [plan.size.replace("x", "×"), plan.frames && `${plan.frames} frames`, plan.seconds && `${plan.seconds.toFixed(1)} s`].filter(Boolean).join(", ")),
      ...fact("Windows", plan.windows > 1 ? String(plan.windows) : ""),
      ...fact("Memory", plan.weight_bytes ? `${bytes(plan.weight_bytes)} of weights, ${bytes(plan.activation_bytes)} at the peak of a step` : ""),
      ...fact("Disk", `${bytes(plan.disk_bytes)} while it is made${plan.disk_free_bytes ? `, ${bytes(plan.disk_free_bytes)} are free` : ""}`),
      ...fact("Time", plan.total_seconds === null ? "known once a video like this was made here" : duration(plan.total_seconds)),
    ),
    el("details", {}, el("summary", {}, "By stage"), el("table", {}, el("tbody", {}, ...rows))),
    ...plan.advice.map((advice) => el("p", { class: "note" }, advice)),
  );
  by("queue").disabled = !plan.ok;
}

function set(change) {
  // Strokes belong to the video that they were painted on.
  if (change.strokes?.length === 0) view?.brush.end(false);
  Object.assign(state, change);
  // People are looked for from the first frame on.
  if ("start" in change && !("video" in change) && state.mode === "replace" && state.video) findPeople();
  look();
}

function choice(label, kinds, value, changed, { none = "none", hint = "" } = {}) {
  const files = kinds.flatMap(ofKind);
  const select = el("select", { on: { change: () => changed(select.value) } },
    el("option", { value: "" }, files.length ? none : `nothing in the library`),
    ...files.map((file) => el("option", { value: file.id }, short(file))));
  select.value = files.some((file) => file.id === value) ? value : "";
  return el("label", {}, label, select, hint ? el("small", {}, hint) : null);
}

function check(label, name) {
  return el("label", { class: "check" }, el("input", { type: "checkbox", checked: state[name], on: { change: (event) => set({ [name]: event.target.checked }) } }), label);
}

function text(label, name, { type = "text", placeholder = "", hint = "" } = {}) {
  const input = el("input", { type, value: state[name], placeholder, on: { change: () => set({ [name]: input.value }) } });
  if (type === "number") input.min = 0;
  return el("label", {}, label, input, hint ? el("small", {}, hint) : null);
}

function select(label, name, options) {
  const control = el("select", { on: { change: () => { set({ [name]: control.value }); if (name === "model") draw(); } } }, ...options.map(([value, shown]) => el("option", { value }, shown)));
  control.value = state[name];
  return el("label", {}, label, control);
}

function draw() {
  const whole = state.mode === "scene";
  const mode = (value, label) => el("label", { class: "check" }, el("input", { type: "radio", name: "mode", value, checked: state.mode === value, on: { change: () => { set({ mode: value, strokes: [] }); draw(); } } }), label);
  const who = state.actors.map((actor, i) => el("div", { class: "fields wide" },
    choice(state.actors.length > 1 ? `Avatar ${i + 1}` : "Avatar", ["avatar"], actor.avatar, (avatar) => { actor.avatar = avatar; look(); }),
    whole || i > 0 ? choice(state.actors.length > 1 ? `Motion ${i + 1}` : "Motion", ["motion"], actor.motion, (motion) => { actor.motion = motion; look(); }) : null,
    standing(actor, i),
    i > 0 ? el("p", {}, el("button", { type: "button", on: { click: () => { state.actors.splice(i, 1); draw(); look(); } } }, `Take avatar ${i + 1} out`)) : null));
  by("form").replaceChildren(
    el("fieldset", {}, el("legend", {}, "Where"),
      mode("scene", "A background and a motion"),
      mode("replace", "Replace somebody in a video"),
      el("div", { class: "fields" },
        whole
          ? choice("Background", ["video", "picture"], state.background, (background) => { set({ background, start: "", end: "", strokes: [] }); draw(); })
          : choice("Video", ["video"], state.video, (video) => { set({ video, person: 1, start: "", end: "", strokes: [] }); draw(); findPeople(); })),
      el("div", { id: "people" })),
    el("fieldset", {}, el("legend", {}, "Who"),
      ...who,
      el("div", { class: "fields" }, choice("Picture of the character", ["picture"], state.character, (character) => set({ character }), { none: "the avatar itself", hint: "What the model takes the looks from." })),
      whole ? el("p", {}, el("button", { type: "button", on: { click: () => { state.actors.push(someone()); draw(); } } }, "Add another avatar")) : null),
    el("fieldset", {}, el("legend", {}, "Look"),
      el("div", { class: "fields" },
        select("Result", "until", [["", "The finished video"], ["composite", "The composite only, without the model"]]),
        select("Model", "model", [["anicrafter-demo", "Small, built in"], ["anicrafter", "AniCrafter (your own weights)"]]),
        text("Size", "size", { placeholder: state.until ? "as the background" : state.model === "anicrafter" ? "1280x720" : "320x192", hint: "Width x height, multiples of 16." }),
        select("Another shape is", "fit", [["", "stretched"], ["crop", "cut"], ["pad", "padded"]]),
        text("First frame", "start", { type: "number", placeholder: "0" }),
        text("Stop before frame", "end", { type: "number", placeholder: "the end" }),
        trim(),
        check("Match the light", "match_light"),
        check("Shadow at the feet", "contact_shadow")),
      occluders()),
    el("fieldset", {}, el("legend", {}, "Model"),
      el("div", { class: "fields" },
        text("Title", "title", { placeholder: "named after its files" }),
        text("Steps", "steps", { type: "number", placeholder: state.model === "anicrafter" ? "50" : "1" }),
        text("Seed", "seed", { type: "number", placeholder: "0" }),
        el("div", { class: "wide" }, text("Prompt", "prompt", { placeholder: "human in a scene" }))),
      el("details", { id: "more" }, el("summary", {}, "All settings"), ...settings.form(state.model, state.more, (more) => set({ more })))),
  );
  drawPeople();
}

/** Where an avatar stands, counted from where its motion has it. */
function standing(actor, i) {
  const field = (name, label, step) => {
    const input = el("input", { type: "number", value: actor.place[name] ?? "", placeholder: "0", on: { change: () => {
      const { [name]: _, ...others } = actor.place;
      const value = number(input.value);
      actor.place = value ? { ...others, [name]: value } : others;
      look();
    } } });
    input.step = step;
    return el("label", {}, label, input);
  };
  const whose = state.actors.length > 1 ? `avatar ${i + 1} stands` : "it stands";
  return el("details", { class: "wide", open: Object.keys(actor.place).length > 0 }, el("summary", {}, `Where ${whose}`),
    el("div", { class: "fields" },
      field("right_m", "To the right, in metres", "0.1"),
      field("away_m", "Away from the camera, in metres", "0.1"),
      field("turn_degrees", "Turned to its left, in degrees", "5")));
}

/** Start and end on the film strip of the video that counts. */
function trim() {
  const file = named(state.mode === "scene" ? state.background : state.video);
  if (file?.kind !== "video" || !file.facts.frames) return null;
  const now = { start: number(state.start), end: number(state.end) };
  return el("p", { class: "wide" }, el("button", { type: "button", data: { action: "trim" }, on: { click: () => film(file, now, (part) => {
    set({ start: part.start ? String(part.start) : "", end: part.end < file.facts.frames ? String(part.end) : "" });
    draw();
  }) } }, "Choose start and end on the film strip"));
}

function occluders() {
  const all = state.occluders.map(named).filter(Boolean);
  return el("div", {},
    el("div", { class: "fields" }, choice("Stays in front of the person", ["picture", "video"], "", (id) => { if (id) { state.occluders.push(id); draw(); look(); } }, { none: "add a matte…", hint: "White in front. Or paint it on the frame." })),
    all.length ? el("ul", {}, ...all.map((file) => el("li", { class: "row" }, short(file), el("button", { type: "button", aria: { label: `Take ${short(file)} out` }, on: { click: () => { state.occluders = state.occluders.filter((id) => id !== file.id); draw(); look(); } } }, "Take out")))) : null,
    painted());
}

function painted() {
  if (!state.strokes.length) return null;
  const frames = [...new Set(state.strokes.map((stroke) => stroke.frame))].sort((a, b) => a - b);
  const words = `${state.strokes.length} ${state.strokes.length === 1 ? "stroke" : "strokes"} on ${frames.length === 1 ? "frame" : "frames"} ${frames.join(", ")}`;
  return el("p", { class: "row", id: "strokes" }, words, el("button", { type: "button", on: { click: () => { set({ strokes: [] }); draw(); say("The strokes are taken out"); } } }, "Take them out"));
}

async function findPeople() {
  people = null;
  drawPeople();
  const id = state.video;
  if (!id) return;
  try {
    const found = await get(`/v1/files/${id}/people?from=${number(state.start) ?? 0}`);
    if (state.video !== id) return;
    people = found;
    // The largest, until another one is clicked on.
    if (state.person === 1 && found.data.length > 1) set({ person: found.data[0].at });
    drawPeople();
  } catch (error) {
    by("people")?.replaceChildren(el("p", { class: "bad" }, error.message));
  }
}

/** The people of a video, on its frame, to be clicked on. */
function drawPeople() {
  const place = by("people");
  if (!place || state.mode !== "replace" || !state.video) return place?.replaceChildren();
  if (!people) return place.replaceChildren(el("p", { class: "quiet" }, "Looking for people…"));
  if (people.data.length === 0) return place.replaceChildren(el("p", { class: "bad" }, "Nobody was found in the first seconds of this video."));
  const screen = el("div", { class: "screen" }, el("img", { src: `/v1/files/${state.video}/frames/${people.frame}`, alt: "" }));
  const buttons = people.data.map((one) => {
    const button = el("button", { type: "button", class: "person", aria: { pressed: String(state.person === one.at || (people.data.length === 1 && state.person === 1)), label: `Person ${one.person}` }, on: { click: () => { set({ person: one.at }); drawPeople(); say(`Person ${one.person} is replaced`); by("people").querySelector('[aria-pressed="true"]')?.focus(); } } }, String(one.person));
    button.style.left = `${(100 * one.centre[0]) / people.width}%`;
    button.style.top = `${(100 * one.centre[1]) / people.height}%`;
    button.style.width = `${Math.max(9, (35 * one.size) / people.width)}%`;
    button.style.aspectRatio = "1";
    return button;
  });
  screen.append(...buttons);
  place.replaceChildren(el("p", { class: "quiet" }, people.data.length > 1 ? "Click on the person who is replaced." : "One person is in view."), screen);
}

/** Takes a file of the library up. */
export function use(file, part = {}, go = true) {
  const first = state.actors[0];
  if (file.kind === "avatar") first.avatar = file.id;
  else if (file.kind === "motion") first.motion = file.id;
  else if (file.kind === "picture") state.character = file.id;
  else if (file.kind === "video") {
    if (state.mode === "replace" || (!first.motion && part.start !== undefined)) state.video = file.id;
    if (state.mode === "replace") findPeople(); else state.background = file.id;
    state.strokes = [];
  }
  if (part.start !== undefined) { state.start = String(part.start || ""); state.end = String(part.end ?? ""); }
  draw();
  look();
  if (go) location.hash = "make";
  say(`${short(file)} is taken`);
}

/** Takes the settings of a video up again. */
export async function takeUp(id) {
  const job = await get(`/v1/videos/${id}/job`);
  await refresh();
  const of = (name) => library.files.find((file) => file.filename === name)?.id ?? "";
  const s = empty();
  s.model = job.models.preset === "anicrafter" ? "anicrafter" : "anicrafter-demo";
  s.mode = job.replace ? "replace" : "scene";
  s.actors = job.input.actors.map((actor) => ({ avatar: of(actor.avatar), motion: of(actor.motion), place: actor.place ?? {} }));
  if (!s.actors.length) s.actors = empty().actors;
  s.background = of(job.input.background);
  s.character = of(job.input.character ?? "");
  s.occluders = job.input.occluders.map(of).filter(Boolean);
  s.strokes = job.input.strokes ?? [];
  s.video = of(job.replace?.video ?? "");
  s.person = job.replace?.person ?? 1;
  s.until = job.output.until ?? "";
  s.start = job.input.start ? String(job.input.start) : "";
  s.end = job.input.end === null || job.input.end === undefined ? "" : String(job.input.end);
  s.size = job.video.width ? `${job.video.width}x${job.video.height}` : "";
  s.fit = job.video.fit === "stretch" ? "" : job.video.fit;
  s.match_light = job.video.match_light;
  s.contact_shadow = job.video.contact_shadow;
  s.prompt = job.prompt.positive;
  s.steps = String(job.sampling.steps);
  s.seed = String(job.sampling.seed);
  s.more = await settings.different(s.model, job);
  state = s;
  draw();
  if (s.mode === "replace") findPeople();
  look();
  location.hash = "make";
}

export async function start(made) {
  jobMade = made;
  await settings.load();
  view = player({
    strokes: () => state.strokes,
    painted: (strokes) => {
      set({ strokes });
      draw();
      say("The strokes are in the masks");
    },
  });
  by("form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = by("queue");
    button.disabled = true;
    try {
      const video = await post("/v1/videos", request());
      say(`${video.title} is in the queue`);
      trouble(null);
      location.hash = "videos";
      jobMade(video);
    } catch (error) {
      by("plan").prepend(el("p", { class: "bad", role: "alert" }, error.message));
    } finally { button.disabled = false; }
  });
  library.changed.addEventListener("change", () => { if (!by("form").contains(document.activeElement) || document.activeElement === document.body) draw(); });
  draw();
  look();
}
