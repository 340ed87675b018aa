// The studio: its parts, and who hears of what.

import { get, listen, onToken, post } from "./api.js";
import { by, bytes, trouble } from "./dom.js";
import * as library from "./library.js";
import * as make from "./make.js";
import * as videos from "./videos.js";

const VIEWS = ["library", "make", "videos"];

function show(moved = true) {
  const wanted = VIEWS.includes(location.hash.slice(1)) ? location.hash.slice(1) : "library";
  for (const name of VIEWS) by(`view-${name}`).hidden = name !== wanted;
  for (const link of document.querySelectorAll("nav [data-view]")) {
    if (link.dataset.view === wanted) link.setAttribute("aria-current", "page"); else link.removeAttribute("aria-current");
  }
  document.title = `${by(`h-${wanted}`).textContent} · AniCrafter studio`;
  if (moved) { by("main").focus({ preventScroll: true }); scrollTo(0, 0); }
}

/** Asks for the token, once for all that wait for it. */
let asking = null;
function askToken() {
  asking ??= new Promise((resolve) => {
    const box = by("login");
    const send = async (token) => {
      try {
        await post("/v1/session", { token });
        if (box.open) box.close();
        asking = null;
        resolve();
      } catch (error) {
        by("login-wrong").hidden = false;
        by("login-wrong").textContent = error.message;
        if (!box.open) box.showModal();
      }
    };
    by("login-form").onsubmit = (event) => { event.preventDefault(); send(by("login-token").value); };
    box.oncancel = (event) => event.preventDefault();
    // An address with the token after #token= opens at once; the browser sends that part to nobody.
    const given = /^#token=(.+)$/.exec(location.hash);
    if (given) {
      history.replaceState(null, "", location.pathname);
      send(decodeURIComponent(given[1]));
    } else box.showModal();
  });
  return asking;
}

addEventListener("hashchange", () => show());
onToken(askToken);
show(false);

try {
  const studio = await get("/v1/studio");
  by("where").textContent = `${studio.library}${studio.free_bytes === null ? "" : ` · ${bytes(studio.free_bytes)} free`}`;
  videos.start(make.takeUp);
  library.start(make.use);
  await library.refresh();
  await make.start(videos.heard);
  let lost = false;
  listen({
    video: videos.heard,
    deleted: videos.gone,
    all: videos.only,
    state: (fine) => {
      if (!fine && !lost) trouble("The studio doesn't answer. Jobs go on when it is started again; this page takes the line up by itself.");
      if (fine && lost) { trouble(null); library.refresh().catch(trouble); }
      lost = !fine;
    },
  });
  document.documentElement.dataset.ready = "yes";
} catch (error) {
  trouble(error);
}
