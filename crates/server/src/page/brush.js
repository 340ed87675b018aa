// A brush on a frame as it came in: whose pixels are whose, and what stays in front. By pointer or by keyboard.

import { el, say, trouble } from "./dom.js";

/** Names, words and colours of what can be painted; the server draws masks in the same colours. */
const PARTS = [
  ["person", "The person", "70 130 255"],
  ["background", "Background", "40 190 110"],
  ["front", "Stays in front", "255 140 30"],
];
const color = (part) => PARTS.find(([name]) => name === part)[2];
const MOST_POINTS = 2000;

export class Brush {
  /** `ended` is called with the new strokes, or with null when they are dropped. */
  constructor(ended) {
    this.ended = ended;
    this.picture = el("img", { alt: "The frame as it came in" });
    this.masks = el("img", { class: "over", alt: "" });
    this.canvas = el("canvas", { tabIndex: 0, role: "application", aria: { label: "Paint on the frame", describedby: "brush-help" } });
    this.easel = el("div", { class: "easel", hidden: true }, this.picture, this.masks, this.canvas);
    this.parts = el("fieldset", { class: "chips" }, el("legend", { class: "unseen" }, "What you paint"));
    this.width = el("input", { type: "range", min: 1, max: 25, value: 4, on: { input: () => this.draw() } });
    this.reach = el("select", {},
      el("option", { value: "" }, "as far as it is recognised"),
      el("option", { value: "12" }, "at most 12 frames each way"),
      el("option", { value: "0" }, "not at all: this frame only"));
    const button = (text, click, more = {}) => el("button", { type: "button", ...more, on: { click } }, text);
    this.back = button("Undo", () => this.undo());
    this.tools = el("div", { class: "brush", hidden: true },
      this.parts,
      el("div", { class: "fields" }, el("label", {}, "Width of the brush", this.width), el("label", {}, "Carried on to other frames", this.reach)),
      el("p", { class: "row" }, button("Take the strokes", () => this.end(true), { class: "main", data: { action: "take" } }), this.back, button("Drop them", () => this.end(false))),
      el("p", { id: "brush-help", class: "quiet" }, "With the keyboard: arrows move the brush (with Shift in small steps), Space lowers and lifts it, 1 to 3 choose what you paint, + and − its width, Z takes a stroke back, Enter takes the strokes, Escape drops them."));
    this.canvas.addEventListener("pointerdown", (event) => this.down(this.at(event), event.pointerId));
    this.canvas.addEventListener("pointermove", (event) => { if (event.buttons && this.stroke) this.move(this.at(event)); });
    this.canvas.addEventListener("pointerup", () => this.up());
    this.canvas.addEventListener("pointercancel", () => this.up());
    this.canvas.addEventListener("keydown", (event) => this.key(event));
    this.canvas.addEventListener("blur", () => this.draw());
    this.canvas.addEventListener("focus", () => this.draw());
    this.painting = false;
  }

  /** Begins on a frame of a preview. `replacing`: is there a person whose pixels can be painted? */
  async start(preview, frame, strokes, replacing) {
    this.painting = true;
    this.strokes = structuredClone(strokes);
    this.before = strokes.length;
    this.stroke = null;
    this.cursor = [0.5, 0.5];
    const parts = PARTS.filter(([name]) => replacing || name !== "person");
    this.part = "front";
    this.parts.replaceChildren(this.parts.firstChild, ...parts.map(([name, words, rgb]) => {
      const swatch = el("span", { class: "swatch", aria: { hidden: "true" } });
      swatch.style.background = `rgb(${rgb})`;
      return el("label", {}, el("input", { type: "radio", name: "part", value: name, checked: name === this.part, on: { change: () => { this.part = name; } } }), swatch, words);
    }));
    this.easel.hidden = this.tools.hidden = false;
    await this.show(preview, frame);
    this.canvas.focus({ preventScroll: true });
  }

  /** Another frame of the preview. */
  async show(preview, frame) {
    const wanted = (this.wanted = `${preview}/${frame}`);
    this.up();
    try {
      const load = async (what) => {
        const response = await fetch(`/v1/previews/${preview}/frames/${frame}/${what}`);
        if (!response.ok) throw new Error((await response.json()).error.message);
        return [URL.createObjectURL(await response.blob()), Number(response.headers.get("Source-Frame"))];
      };
      const [[picture, number], [masks]] = await Promise.all([load("source"), load("masks")]);
      if (this.wanted !== wanted || !this.painting) return;
      for (const image of [this.picture, this.masks]) if (image.src) URL.revokeObjectURL(image.src);
      [this.picture.src, this.masks.src] = [picture, masks];
      await this.picture.decode();
      this.frame = number;
      [this.canvas.width, this.canvas.height] = [this.picture.naturalWidth, this.picture.naturalHeight];
      this.easel.dataset.frame = number;
      this.draw();
    } catch (error) {
      if (this.wanted === wanted) trouble(error);
    }
  }

  at(event) {
    const box = this.canvas.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  }

  down(at, pointer) {
    if (this.frame === undefined) return;
    if (pointer !== undefined) this.canvas.setPointerCapture(pointer);
    this.stroke = { frame: this.frame, part: this.part, width: this.width.value / 100, points: [at.map(rounded)] };
    if (this.reach.value !== "") this.stroke.reach = Number(this.reach.value);
    this.strokes.push(this.stroke);
    this.draw();
  }

  move(at) {
    this.cursor = at;
    if (this.stroke.points.length < MOST_POINTS) this.stroke.points.push(at.map(rounded));
    this.draw();
  }

  up() {
    this.stroke = null;
  }

  undo() {
    if (this.strokes.length === 0) return;
    const gone = this.strokes.pop();
    this.up();
    this.draw();
    say(`A stroke on frame ${gone.frame} is taken back`);
  }

  key(event) {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    const chosen = this.parts.querySelectorAll("input")[Number(event.key) - 1];
    if (way) {
      const step = event.shiftKey ? 0.004 : 0.025;
      const to = this.cursor.map((c, axis) => Math.min(1, Math.max(0, c + way[axis] * step)));
      this.cursor = to;
      if (this.stroke) this.move(to); else this.draw();
    } else if (event.key === " ") {
      if (this.stroke) this.up(); else this.down(this.cursor);
      say(this.stroke ? "The brush is down" : "The brush is up");
    } else if (chosen) {
      chosen.checked = true;
      this.part = chosen.value;
      say(chosen.parentElement.textContent);
    } else if (event.key === "+" || event.key === "-") {
      this.width.value = Number(this.width.value) + (event.key === "+" ? 1 : -1);
      this.draw();
    } else if (event.key === "z" || event.key === "Z") this.undo();
    else if (event.key === "Enter") this.end(true);
    else if (event.key === "Escape") this.end(false);
    else return;
    event.preventDefault();
  }

  draw() {
    if (!this.painting) return;
    const { width, height } = this.canvas;
    const pen = this.canvas.getContext("2d");
    pen.clearRect(0, 0, width, height);
    pen.lineCap = pen.lineJoin = "round";
    for (const stroke of this.strokes.filter((one) => one.frame === this.frame)) {
      pen.strokeStyle = `rgb(${color(stroke.part)} / .75)`;
      pen.lineWidth = stroke.width * width;
      pen.beginPath();
      const [[x, y], ...rest] = stroke.points;
      pen.moveTo(x * width, y * height);
      pen.lineTo(x * width + 0.01, y * height);
      for (const [px, py] of rest) pen.lineTo(px * width, py * height);
      pen.stroke();
    }
    if (document.activeElement === this.canvas) {
      const [x, y] = [this.cursor[0] * width, this.cursor[1] * height];
      for (const [line, ink] of [[4, "#000"], [2, "#fff"]]) {
        pen.lineWidth = (line * width) / Math.max(1, this.canvas.clientWidth);
        pen.strokeStyle = ink;
        pen.beginPath();
        pen.arc(x, y, (this.width.value / 200) * width, 0, 2 * Math.PI);
        pen.stroke();
      }
    }
    this.back.disabled = this.strokes.length === 0;
  }

  end(take) {
    if (!this.painting) return;
    this.painting = false;
    this.wanted = null;
    this.frame = undefined;
    this.easel.hidden = this.tools.hidden = true;
    this.ended(take ? this.strokes : null);
  }
}

const rounded = (part) => Math.round(part * 1e4) / 1e4;
