"use strict";
document.documentElement.classList.add("js");
const chosen = {};  // step by the name of a slider; the newest where nobody has moved it
function slide() {
  for (const box of document.querySelectorAll(".sheets")) {
    const input = box.querySelector("input"), steps = box.dataset.steps.split(" ").map(Number);
    const step = chosen[box.dataset.name] ?? steps[steps.length - 1];
    const place = Math.max(0, steps.findLastIndex(known => known <= step));
    input.value = place;
    box.querySelector("output").textContent = `step ${steps[place]}`;
    input.setAttribute("aria-valuetext", `step ${steps[place]}`);
    for (const row of box.querySelectorAll(".row")) {
      const figures = [...row.querySelectorAll("figure")];
      const shown = figures.findLast(figure => Number(figure.dataset.step) <= steps[place]);
      for (const figure of figures) figure.classList.toggle("chosen", figure === shown);
    }
  }
}
document.addEventListener("input", event => {
  const box = event.target.closest(".sheets");
  if (!box) return;
  const steps = box.dataset.steps.split(" ").map(Number), place = Number(event.target.value);
  if (place === steps.length - 1) delete chosen[box.dataset.name]; else chosen[box.dataset.name] = steps[place];
  slide();
});
slide();
