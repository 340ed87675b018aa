(() => {
  "use strict";
  const videos = [...document.querySelectorAll("video.synced")];
  const lead = document.getElementById("result");
  const play = document.getElementById("play");
  const scrub = document.getElementById("scrub");
  const frame = document.getElementById("frame");
  const fps = Number(document.body.dataset.fps) || 15;

  const show = () => {
    const length = lead.duration || 0;
    if (length) scrub.value = String(Math.round(1000 * lead.currentTime / length));
    frame.textContent = `frame ${Math.round(lead.currentTime * fps)}`;
  };
  const seek = (seconds) => videos.forEach((video) => { video.currentTime = seconds; });
  const follow = () => {
    // Frames drift apart by themselves: pull every panel back to the result.
    for (const video of videos) {
      if (video !== lead && Math.abs(video.currentTime - lead.currentTime) > 0.5 / fps) {
        video.currentTime = lead.currentTime;
      }
    }
    show();
    if (!lead.paused) requestAnimationFrame(follow);
  };

  play.addEventListener("click", async () => {
    if (lead.paused) {
      await Promise.all(videos.map((video) => video.play()));
      play.textContent = "Pause";
      requestAnimationFrame(follow);
    } else {
      videos.forEach((video) => video.pause());
      play.textContent = "Play";
      seek(lead.currentTime);
    }
  });
  scrub.addEventListener("input", () => {
    videos.forEach((video) => video.pause());
    play.textContent = "Play";
    seek(Number(scrub.value) / 1000 * (lead.duration || 0));
  });
  lead.addEventListener("seeked", show);
  document.getElementById("split").addEventListener("input", (event) => {
    document.getElementById("compare").style.setProperty("--split", `${event.target.value}%`);
  });
})();
