// The examples' texts, with this studio's address in them.

for (const place of document.querySelectorAll("[data-example]")) {
  const text = await (await fetch(place.dataset.example)).text();
  place.textContent = text.replaceAll("http://127.0.0.1:8585", location.origin);
}
document.documentElement.dataset.ready = "yes";
