// An avatar from a picture: baked in seconds, or made by LHM with the user's weights, which is planned and watched.

import { get, post, remove } from "./api.js";
import { by, bytes, dialog, duration, el, say, trouble } from "./dom.js";
import { library, refresh, short, turning } from "./library.js";

let use = () => {};
const TURNS = 36;
const PARTS = { body: "looking at the body", head: "looking at the head", points: "from picture to points", gaussians: "from points to Gaussians" };

/** Asks how the avatar of a picture is to be made. */
export async function ask(file) {
  const studio = await get("/v1/studio");
  const own = library.files.filter((one) => one.kind === "weights" || one.problem?.includes("weights")).map((one) => one.filename);
  const folders = [...new Set([...studio.weights, ...own.flatMap((name) => [name, name.split("/").slice(0, -1).join("/")])])].filter(Boolean);
  const how = (value, label, about) => el("label", { class: "check" }, el("input", { type: "radio", name: "how", value, checked: value === "bake", on: { change: () => show(value) } }), el("span", {}, el("b", {}, label), el("br"), about));
  const option = ([value, words]) => el("option", { value }, words);
  const weights = el("select", {}, ...folders.map((folder) => option([folder, folder])));
  const model = el("select", {}, ...[["", "as config.json beside it says"], ["mini", "mini"], ["500m", "500m"], ["1b", "1b"]].map(option));
  const dtype = el("select", {}, ...[["f32", "32 bits"], ["bf16", "16 bits"], ["q8", "8 bits"], ["q4", "4 bits"], ["int8", "8 bits, products of integers"]].map(option));
  const plan = el("div", { class: "brush", aria: { live: "polite" } });
  const make = el("button", { type: "button", class: "main", data: { action: "make" }, on: { click: () => begin() } }, "Make it");
  const network = el("div", { class: "brush", hidden: true },
    el("p", { class: "note" }, "LHM's and Sapiens' weights (CC BY-NC 4.0) and SMPL-X's files are for non-commercial research only. They aren't part of this program: bring your own."),
    folders.length
      ? el("div", { class: "fields" }, el("label", {}, "Weights", weights), el("label", {}, "Model", model), el("label", {}, "Weights are held in", dtype))
      : el("p", { class: "bad" }, "There are no weights here: start the studio with --weights FOLDER, or put the folder into the library."),
    folders.length ? el("p", { class: "row" }, el("button", { type: "button", data: { action: "plan" }, on: { click: () => reckon() } }, "What will it take?")) : null,
    plan);
  const wrong = el("p", { class: "bad", role: "alert", hidden: true });
  const wanted = () => ({ picture: file.id, method: "lhm", weights: weights.value, dtype: dtype.value, ...(model.value && { variant: model.value }) });
  let chosen = "bake";
  const show = (value) => {
    chosen = value;
    network.hidden = value !== "lhm";
    make.disabled = value === "lhm" && !folders.length;
    wrong.hidden = true;
  };
  const failed = (error) => { wrong.hidden = false; wrong.textContent = error.message; };
  const reckon = async () => {
    wrong.hidden = true;
    plan.replaceChildren(el("p", { class: "quiet" }, "Looking at files and picture…"));
    try {
      const found = await post("/v1/avatars/plan", wanted());
      plan.replaceChildren(
        el("dl", { class: "facts" },
          el("dt", {}, "Time"), el("dd", {}, found.seconds < 1 ? duration(found.seconds) : `about ${duration(found.seconds)}`),
          el("dt", {}, "Memory"), el("dd", {}, `about ${bytes(found.peak_bytes)}; ${bytes(found.read_bytes)} are read`),
          el("dt", {}, "Avatar"), el("dd", {}, `${found.points.toLocaleString("en")} Gaussians`),
          el("dt", {}, "Picture"), el("dd", {}, `${Math.round(found.body_in_view * 100)} % of the body in view, ${found.head_in_view ? "with a head" : "no head"}`)),
        ...found.notes.map((note) => el("p", { class: "note" }, note)),
        el("details", {}, el("summary", {}, "Files"), el("pre", {}, found.files.join("\n"))));
    } catch (error) {
      plan.replaceChildren();
      failed(error);
    }
  };
  const begin = async () => {
    make.disabled = true;
    wrong.hidden = true;
    try {
      if (chosen === "bake") return await bake(file);
      watch(await post("/v1/avatars", wanted()));
      box.close();
      say("LHM begins; the library shows how far it is");
    } catch (error) {
      failed(error);
    } finally {
      make.disabled = false;
    }
  };
  const box = dialog(`Avatar from ${short(file)}`, [
    el("fieldset", { class: "plain" }, el("legend", { class: "unseen" }, "How it is made"),
      how("bake", "From the picture alone", "In seconds, without weights. What the picture doesn't show is guessed from what it shows."),
      how("lhm", "By LHM", "A network that has seen people from all sides. In minutes, with your own weights.")),
    network, wrong,
    el("p", { class: "row" }, make),
  ]);
}

async function bake(file) {
  const body = el("div", {}, el("p", {}, "Looking for the person and projecting the picture onto a body. This takes some seconds."), el("progress", { aria: { label: "Making the avatar" } }));
  dialog(`Avatar from ${short(file)}`, body);
  try {
    const made = await post("/v1/avatars", { picture: file.id });
    await refresh();
    const { parts, stop } = turning(`/v1/files/${made.file.id}/turntable?count=${TURNS}&height=256`, TURNS);
    const report = made.report;
    const box = dialog(`Avatar ${short(made.file)}`, [
      ...parts,
      el("p", {}, `${report.gaussians.toLocaleString("en")} Gaussians, ${Math.round(report.seen * 100)} % of them seen; its outline agrees with the picture's to ${Math.round(report.outline * 100)} %.`),
      ...report.notes.map((note) => el("p", { class: "note" }, note)),
      el("p", { class: "quiet" }, "It has what the picture shows. LHM, with your weights, makes one that is whole from all sides."),
      el("p", { class: "row" }, el("button", { type: "button", class: "main", on: { click: () => { box.close(); use(made.file); } } }, "Use it")),
    ], stop);
    say("The avatar is made");
  } catch (error) {
    body.replaceChildren(el("p", { class: "bad" }, error.message));
  }
}

/** Shows how far an avatar is until it is there; it goes on when the page is closed. */
function watch(making) {
  const bar = el("progress", { max: 100, value: 0, aria: { label: `Avatar ${making.title}` } });
  const text = el("span", { class: "quiet" });
  let over = false;
  const stop = el("button", { type: "button", aria: { label: `Stop the avatar ${making.title}` }, on: { click: async () => {
    over = true;
    await remove(`/v1/avatars/${making.id}`).catch(() => {});
    row.remove();
  } } }, "Stop");
  const row = el("li", { data: { making: making.id } }, el("span", {}, `Avatar ${making.title} `, text), stop, bar);
  by("uploads").append(row);
  const look = async () => {
    if (over) return;
    try {
      const now = await get(`/v1/avatars/${making.id}`);
      bar.value = now.progress;
      text.textContent = now.status === "queued" ? "waits until no job runs" : `${PARTS[now.part] ?? "reading the weights"}, ${now.progress} %`;
      if (now.status === "completed") {
        await refresh();
        row.remove();
        return say(`The avatar ${making.title} is made`);
      }
      if (now.status === "failed") throw new Error(now.error);
      setTimeout(look, 700);
    } catch (error) {
      // The studio doesn't answer: it may come back.
      if (error instanceof TypeError) return setTimeout(look, 3000);
      text.className = "problem";
      text.textContent = error.message;
      stop.textContent = "Remove";
    }
  };
  look();
}

export async function start(onUse) {
  use = onUse;
  try {
    const { data } = await get("/v1/avatars");
    data.filter((making) => ["queued", "in_progress"].includes(making.status)).forEach(watch);
  } catch (error) { trouble(error); }
}
