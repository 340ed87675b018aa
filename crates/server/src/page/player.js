// The composite of a job, played frame by frame as the server renders it, with a brush for what stays in front.

import { get, post } from "./api.js";
import { by, el, say } from "./dom.js";

const AHEAD = 6;

export class Player {
  constructor(place, onOccluder) {
    this.image = el("img", { alt: "The composite: the avatar over the background", hidden: true });
    this.text = el("p", {}, "Choose an avatar and a background, or a video.");
    this.paint = el("canvas", { hidden: true, aria: { label: "Paint over what stays in front of the person" } });
    this.screen = el("div", { class: "screen" }, this.image, this.text, this.paint);
    this.button = el("button", { type: "button", disabled: true, on: { click: () => this.toggle() } }, "Play");
    this.slider = el("input", { type: "range", min: 0, max: 0, value: 0, disabled: true, aria: { label: "Frame" }, on: { input: () => { this.wish = false; this.stop(); this.seek(Number(this.slider.value)); } } });
    this.at = el("output", { class: "quiet" }, "");
    this.note = el("p", { class: "note", hidden: true });
    this.brush = el("button", { type: "button", disabled: true, aria: { pressed: "false" }, on: { click: () => this.startBrush() } }, "Paint what stays in front");
    this.done = el("button", { type: "button", hidden: true, class: "main", on: { click: () => this.endBrush(true) } }, "Take the painting");
    this.undo = el("button", { type: "button", hidden: true, on: { click: () => this.endBrush(false) } }, "Drop it");
    this.width = el("input", { type: "range", min: 4, max: 80, value: 24, aria: { label: "Width of the brush" } });
    this.brushRow = el("label", { hidden: true }, "Width of the brush", this.width);
    place.replaceChildren(this.screen, el("div", { class: "bar" }, this.button, this.slider, this.at), this.note, el("p", { class: "row" }, this.brush, this.done, this.undo), this.brushRow);
    this.onOccluder = onOccluder;
    this.cache = new Map();
    this.info = null;
    this.wanted = null;
    this.painting = false;
    this.wish = true;
    this.paint.addEventListener("pointerdown", (event) => this.stroke(event, true));
    this.paint.addEventListener("pointermove", (event) => { if (event.buttons) this.stroke(event, false); });
  }

  /** Shows another job's composite. */
  async open(request) {
    this.request?.abort();
    const abort = (this.request = new AbortController());
    try {
      let info = await post("/v1/previews", request, { signal: abort.signal });
      for (let round = 0; info.status === "opening"; round += 1) {
        if (abort.signal.aborted) return;
        const stage = { masks: "finding the person", motion: "finding the motion", plate: "finding what is behind" }[info.stage];
        this.say(stage ? `Looking at the video: ${stage}, ${Math.round(info.done * 100)} %` : "Opening…");
        await new Promise((done) => setTimeout(done, round < 10 ? 120 : 400));
        info = await get(`/v1/previews/${info.id}`, { signal: abort.signal });
      }
      if (abort.signal.aborted) return;
      if (info.status === "failed") throw new Error(info.error);
      const fresh = this.info?.id !== info.id;
      this.info = info;
      if (fresh) this.forget();
      this.slider.max = info.frames - 1;
      this.slider.disabled = this.button.disabled = this.brush.disabled = false;
      this.note.hidden = !info.quick && info.warnings.length === 0;
      const notes = [...info.warnings];
      if (info.quick) notes.unshift("A quick look at the first frames of the video: the whole one is looked through when the job runs.");
      this.note.textContent = notes.join(" ");
      await this.seek(Math.min(Number(this.slider.value), info.frames - 1));
      if (this.wish) this.play();
      return info;
    } catch (error) {
      if (error.name === "AbortError" || abort.signal.aborted) return;
      this.stop();
      this.clear(error.message);
    }
  }

  /** Nothing to show, and why. */
  clear(text) {
    this.request?.abort();
    this.stop();
    this.info = null;
    this.forget();
    this.image.hidden = true;
    this.note.hidden = true;
    this.slider.disabled = this.button.disabled = this.brush.disabled = true;
    this.at.textContent = "";
    this.say(text);
  }

  say(text) {
    this.text.hidden = !text;
    this.text.textContent = text;
  }

  forget() {
    for (const url of this.cache.values()) Promise.resolve(url).then((u) => u && URL.revokeObjectURL(u)).catch(() => {});
    this.cache.clear();
  }

  frame(n) {
    const { id } = this.info;
    if (!this.cache.has(n)) {
      const load = fetch(`/v1/previews/${id}/frames/${n}`).then(async (response) => {
        if (!response.ok) throw new Error((await response.json()).error.message);
        return URL.createObjectURL(await response.blob());
      });
      load.catch(() => this.cache.delete(n));
      this.cache.set(n, load);
    }
    return this.cache.get(n);
  }

  async seek(n) {
    if (!this.info) return;
    this.wanted = n;
    const { id } = this.info;
    this.slider.value = n;
    try {
      const url = await this.frame(n);
      if (this.wanted !== n || this.info?.id !== id) return;
      this.image.src = url;
      this.image.hidden = false;
      this.say("");
      this.at.textContent = `frame ${n + 1} of ${this.info.frames}`;
      this.slider.setAttribute("aria-valuetext", this.at.textContent);
    } catch (error) {
      this.stop();
      this.say(error.message);
    }
  }

  /** What the user wants stays so when another composite comes. */
  toggle() {
    this.wish = !this.playing;
    if (this.playing) this.stop(); else this.play();
  }

  stop() {
    this.playing = false;
    clearTimeout(this.timer);
    this.button.textContent = "Play";
  }

  play() {
    if (!this.info || this.painting) return;
    this.playing = true;
    this.button.textContent = "Pause";
    clearTimeout(this.timer);
    const step = async () => {
      if (!this.playing || !this.info) return;
      const began = performance.now();
      const next = (Number(this.slider.value) + 1) % this.info.frames;
      for (let i = 1; i <= AHEAD; i += 1) this.frame((next + i) % this.info.frames).catch(() => {});
      await this.seek(next);
      const rest = 1000 / this.info.fps - (performance.now() - began);
      this.timer = setTimeout(step, Math.max(0, rest));
    };
    step();
  }

  startBrush() {
    this.stop();
    this.painting = true;
    this.paint.width = this.info.width;
    this.paint.height = this.info.height;
    this.toggleBrush(true);
    say("Paint over what stays in front of the person");
  }

  toggleBrush(on) {
    this.paint.hidden = this.done.hidden = this.undo.hidden = this.brushRow.hidden = !on;
    this.brush.hidden = on;
  }

  stroke(event, begins) {
    const box = this.paint.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * this.paint.width;
    const y = ((event.clientY - box.top) / box.height) * this.paint.height;
    const pen = this.paint.getContext("2d");
    if (begins) { this.last = [x, y]; this.paint.setPointerCapture(event.pointerId); }
    pen.strokeStyle = "rgb(255 90 60)";
    pen.lineWidth = (Number(this.width.value) / box.width) * this.paint.width;
    pen.lineCap = "round";
    pen.beginPath();
    pen.moveTo(...this.last);
    pen.lineTo(x + 0.01, y);
    pen.stroke();
    this.last = [x, y];
  }

  async endBrush(keep) {
    this.painting = false;
    const painted = this.paint;
    this.toggleBrush(false);
    if (!keep) return;
    // White where it stays in front, black elsewhere, on every frame.
    const matte = el("canvas", { width: painted.width, height: painted.height });
    const pen = matte.getContext("2d");
    const pixels = painted.getContext("2d").getImageData(0, 0, painted.width, painted.height);
    for (let i = 0; i < pixels.data.length; i += 4) {
      const level = pixels.data[i + 3];
      pixels.data.set([level, level, level, 255], i);
    }
    pen.putImageData(pixels, 0, 0);
    const blob = await new Promise((done) => matte.toBlob(done, "image/png"));
    await this.onOccluder(new File([blob], "in front.png", { type: "image/png", lastModified: Date.now() }));
  }
}

export const player = (onOccluder) => new Player(by("player"), onOccluder);
