// Does with the report what a reader does, and posts what the page then shows.
(async () => {
  const found = {};
  const videos = [...document.querySelectorAll("video.synced")];
  const by = (id) => document.getElementById(id);
  const wait = (ms) => new Promise((done) => setTimeout(done, ms));
  const times = () => videos.map((video) => video.currentTime);
  const loaded = (video) => new Promise((done, failed) => {
    if (video.error) failed(new Error(`${video.id}: ${video.error.message}`));
    else if (video.readyState >= 2) done();
    video.addEventListener("loadeddata", done, { once: true });
    video.addEventListener("error", () => failed(new Error(`${video.id}: ${video.error.message}`)), { once: true });
  });
  const settled = async () => {
    for (let i = 0; i < 200 && videos.some((video) => video.seeking); i += 1) await wait(25);
    await wait(50);
  };
  const input = (id, value) => { by(id).value = value; by(id).dispatchEvent(new Event("input")); };

  await Promise.all(videos.map(loaded));
  found.durations = videos.map((video) => video.duration);

  input("scrub", "500");
  await settled();
  found.scrubbed = times();
  found.scrubbedFrame = by("frame").textContent;
  const canvas = document.createElement("canvas");
  const result = by("result");
  [canvas.width, canvas.height] = [result.videoWidth, result.videoHeight];
  const context = canvas.getContext("2d");
  context.drawImage(result, 0, 0);
  const pixel = (x, y) => [...context.getImageData(x, y, 1, 1).data].slice(0, 3);
  found.plain = pixel(20, 40);
  found.bar = pixel(80, 40);

  by("play").click();
  await wait(600);
  found.played = times();
  found.playing = videos.every((video) => !video.paused);
  found.playLabel = by("play").textContent;
  by("play").click();
  await settled();
  found.stopped = times();
  found.paused = videos.every((video) => video.paused);
  found.pauseLabel = by("play").textContent;

  input("split", "20");
  found.split = getComputedStyle(document.querySelector("#compare .after")).clipPath;
  found.title = document.querySelector("h1").textContent;
  found.stageRows = document.querySelectorAll("#stages tr").length;
  found.overflows = document.documentElement.scrollWidth > innerWidth;
  // All that was fetched from anywhere but the page itself and its data.
  const fetched = performance.getEntriesByType("resource").map((entry) => entry.name);
  found.requests = fetched.filter((name) => !name.startsWith("data:") && !name.endsWith("/favicon.ico")).length;
  return found;
})().catch((error) => ({ error: String(error) })).then((found) =>
  fetch("/found", { method: "POST", body: JSON.stringify(found) }));
