import { writeFile } from "node:fs/promises";

const studio = process.env.STUDIO ?? "http://127.0.0.1:8585";
const token = process.env.STUDIO_TOKEN;

async function ask(method, path, body) {
  const headers = { ...(token && { Authorization: `Bearer ${token}` }), ...(body && { "Content-Type": "application/json" }) };
  const response = await fetch(studio + path, { method, headers, body: body && JSON.stringify(body) });
  if (!response.ok) throw new Error((await response.json()).error.message);
  return response;
}

await ask("POST", "/v1/demo");
let video = await (await ask("POST", "/v1/videos", {
  model: "anicrafter-demo",
  avatar: "demo/avatar.safetensors",
  motion: "demo/motion.json",
  background: "demo/background.mp4",
  character: "demo/character.png",
  seconds: "1",
})).json();

while (["queued", "in_progress"].includes(video.status)) {
  await new Promise((done) => setTimeout(done, 500));
  video = await (await ask("GET", `/v1/videos/${video.id}`)).json();
  console.log(video.status, video.progress, "%");
}
if (video.status !== "completed") throw new Error(video.error.message);
await writeFile("demo.mp4", Buffer.from(await (await ask("GET", `/v1/videos/${video.id}/content`)).arrayBuffer()));
