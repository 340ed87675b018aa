// The composite of a job, played frame by frame as the server renders it, with a brush for its masks.

import { get, post } from "./api.js";
import { Brush } from "./brush.js";
import { by, el, say } from "./dom.js";

const AHEAD = 6;

export class Player {
  /** `strokes` says what is painted already, `painted` is called with what is painted then. */
  constructor(place, { strokes, painted }) {
    this.image = el("img", { alt: "The composite: the avatar over the background", hidden: true });
    this.text = el("p", {}, "Choose an avatar and a background, or a video.");
    this.brush = new Brush((after) => this.endBrush(after));
    this.screen = el("div", { class: "screen" }, this.image, this.text, this.brush.easel);
    this.button = el("button", { type: "button", disabled: true, on: { click: () => this.toggle() } }, "Play");
    this.slider = el("input", { type: "range", min: 0, max: 0, value: 0, disabled: true, aria: { label: "Frame" }, on: { input: () => { this.wish = false; this.stop(); this.seek(Number(this.slider.value)); if (this.brush.painting) this.brush.show(this.info.id, Number(this.slider.value)); } } });
    this.at = el("output", { class: "quiet" }, "");
    this.note = el("p", { class: "note", hidden: true });
    this.correct = el("button", { type: "button", disabled: true, data: { action: "paint" }, on: { click: () => this.startBrush() } }, "Correct the masks with a brush");
    this.correctRow = el("p", { class: "row" }, this.correct);
    place.replaceChildren(this.screen, el("div", { class: "bar" }, this.button, this.slider, this.at), this.brush.tools, this.note, this.correctRow);
    this.strokes = strokes;
    this.painted = painted;
    this.cache = new Map();
    this.info = null;
    this.wanted = null;
    this.wish = true;
  }

  /** Shows another job's composite. */
  async open(request) {
    this.replacing = Boolean(request.video);
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
      this.screen.dataset.preview = info.id;
      if (fresh) this.forget();
      this.slider.max = info.frames - 1;
      this.slider.disabled = this.button.disabled = this.correct.disabled = false;
      this.note.hidden = !info.quick && info.warnings.length === 0;
      const notes = [...info.warnings];
      if (info.quick) notes.unshift("A quick look at the first frames of the video: the whole one is looked through when the job runs.");
      this.note.textContent = notes.join(" ");
      await this.seek(Math.min(Number(this.slider.value), info.frames - 1));
      if (this.brush.painting) {
        this.image.hidden = true;
        await this.brush.show(info.id, Number(this.slider.value));
      } else if (this.wish) this.play();
      return info;
    } catch (error) {
      if (error.name === "AbortError" || abort.signal.aborted) return;
      this.stop();
      this.clear(error.message);
    }
  }

  /** Nothing to show, and why. */
  clear(text) {
    this.brush.end(false);
    this.request?.abort();
    this.stop();
    this.info = null;
    this.forget();
    this.image.hidden = true;
    this.note.hidden = true;
    this.slider.disabled = this.button.disabled = this.correct.disabled = true;
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
      this.image.hidden = this.brush.painting;
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
    if (!this.info || this.brush.painting) return;
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

  async startBrush() {
    this.stop();
    this.image.hidden = this.correctRow.hidden = this.button.disabled = true;
    say("Paint on the frame as it came in");
    await this.brush.start(this.info.id, Number(this.slider.value), this.strokes(), this.replacing);
  }

  endBrush(strokes) {
    this.image.hidden = !this.image.src;
    this.correctRow.hidden = this.button.disabled = false;
    this.correct.focus({ preventScroll: true });
    if (strokes) this.painted(strokes);
    else if (this.wish) this.play();
  }
}

export const player = (painting) => new Player(by("player"), painting);
