// All settings of a job, from the server's own document: what they mean, what they may be, what they are where nothing is said.

import { get } from "./api.js";
import { el } from "./dom.js";

const SECTIONS = ["video", "light", "sampling", "prompt", "models", "output", "input", "replace"];
// What the page has a place of its own for, and what the server chooses.
const ELSEWHERE = {
  input: ["actors", "background", "character", "occluders", "strokes", "start", "end"],
  output: ["video", "work", "mesh", "mask"],
  replace: ["video", "person"],
  prompt: ["positive"],
  models: ["preset"],
  video: ["width", "height", "match_light", "contact_shadow", "fit"],
  sampling: ["steps", "seed"],
};

let document_ = null;
let defaults = null;

export async function load() {
  [document_, defaults] = await Promise.all([get("/openapi.json"), get("/v1/settings")]);
}

const schemaOf = (reference) => document_.components.schemas[reference.split("/").pop()];

/** A property's own schema: what may be nothing is put aside, what is named is looked up. */
function plain(schema) {
  const options = schema.oneOf ?? schema.anyOf;
  const own = options ? options.find((one) => one.type !== "null") ?? schema : schema;
  const found = own.$ref ? { ...schemaOf(own.$ref), description: schema.description ?? own.description } : own;
  const types = [found.type].flat().filter((type) => type && type !== "null");
  return { ...found, description: schema.description ?? found.description ?? "", type: types[0] };
}

function properties(section) {
  const job = schemaOf("#/JobChanges");
  const schema = plain(job.properties[section]);
  return Object.entries(schema.properties ?? {});
}

/** The form of all settings that have no place of their own. `changed` is called with what was set, section by section. */
export function form(model, values, changed) {
  const of = structuredClone(values);
  const parts = [];
  for (const section of SECTIONS) {
    const fields = [];
    for (const [name, raw] of properties(section)) {
      if (ELSEWHERE[section]?.includes(name)) continue;
      fields.push(field(model, section, name, plain(raw), of, () => changed(tidy(of))));
    }
    if (fields.length) parts.push(el("details", {}, el("summary", {}, section[0].toUpperCase() + section.slice(1)), el("div", { class: "fields" }, ...fields)));
  }
  return parts;
}

function tidy(values) {
  return Object.fromEntries(Object.entries(values).filter(([, section]) => Object.keys(section).length));
}

function field(model, section, name, schema, of, changed) {
  const id = `set-${section}-${name}`;
  const normal = defaults[model]?.[section]?.[name];
  const set = (value) => {
    of[section] ??= {};
    if (value === undefined) delete of[section][name]; else of[section][name] = value;
    changed();
  };
  const value = of[section]?.[name];
  const shown = normal === undefined || normal === null ? "nothing" : typeof normal === "object" ? JSON.stringify(normal) : String(normal);
  let control;
  if (schema.enum || schema.type === "boolean") {
    const options = schema.enum ?? [true, false];
    control = el("select", { id, on: { change: () => set(control.value === "" ? undefined : schema.enum ? control.value : control.value === "true") } },
      el("option", { value: "" }, `as usual (${shown})`),
      ...options.filter((one) => one !== null).map((one) => el("option", { value: String(one) }, schema.enum ? one : one ? "yes" : "no")));
    control.value = value === undefined ? "" : String(value);
  } else if (schema.type === "integer" || schema.type === "number") {
    control = el("input", { id, type: "number", step: schema.type === "integer" ? 1 : "any", placeholder: shown, value: value ?? "", on: { change: () => set(control.value === "" ? undefined : Number(control.value)) } });
  } else if (schema.type === "string") {
    control = el("input", { id, type: "text", placeholder: shown, value: value ?? "", on: { change: () => set(control.value === "" ? undefined : control.value) } });
  } else {
    // Lists and sections: as in a job file, in JSON.
    const wrong = el("small", { class: "problem", role: "alert" });
    const input = el("input", { id, type: "text", placeholder: shown, value: value === undefined ? "" : JSON.stringify(value), on: { change: () => {
      wrong.textContent = "";
      if (input.value.trim() === "") return set(undefined);
      try { set(JSON.parse(input.value)); } catch { wrong.textContent = "this isn't JSON"; }
    } } });
    control = el("span", {}, input, wrong);
  }
  return el("div", {}, el("label", { htmlFor: id }, name.replaceAll("_", " ")), control, el("small", {}, schema.description));
}

/** What a job says that its model's usual settings don't, of what has no place of its own. */
export function different(model, job) {
  const out = {};
  for (const section of SECTIONS) {
    for (const [name] of properties(section)) {
      if (ELSEWHERE[section]?.includes(name)) continue;
      const value = job[section]?.[name];
      const normal = defaults[model]?.[section]?.[name];
      // The server turns these on for every video.
      if (section === "output" && ["panels", "report", "preview_every"].includes(name)) continue;
      if (value === null || value === undefined || JSON.stringify(value) === JSON.stringify(normal)) continue;
      (out[section] ??= {})[name] = value;
    }
  }
  return out;
}
