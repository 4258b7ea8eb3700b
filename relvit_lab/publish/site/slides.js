// One slide at a time: a slide is a heading with all that follows it. Without a script the slides stand below one another.
const root = document.querySelector(".slides"), cells = [...root.querySelector("main").children];
const shown = root.querySelector("output"), [before, after] = root.querySelectorAll(".way button");
let last = 0;
const slideOf = cells.map((cell) => cell.querySelector(":scope > :is(h1, h2)") && cell.id.startsWith("cell-slide-") ? ++last : last);
let now = Number(location.hash.match(/^#slide-(\d+)$/)?.[1] ?? 1);

function show(slide) {
  now = Math.min(Math.max(slide, 1), last);
  cells.forEach((cell, k) => cell.classList.toggle("away", slideOf[k] !== now));
  shown.textContent = `${now} of ${last}`;
  before.disabled = now === 1;
  after.disabled = now === last;
  history.replaceState(null, "", `#slide-${now}`);
  scrollTo(0, 0);
}
before.addEventListener("click", () => show(now - 1));
after.addEventListener("click", () => show(now + 1));
addEventListener("hashchange", () => show(Number(location.hash.replace("#slide-", "")) || now));
addEventListener("keydown", (event) => {
  if (event.target.closest(".widget, input, select, textarea") || event.ctrlKey || event.altKey || event.metaKey) return;
  const to = { ArrowRight: now + 1, PageDown: now + 1, ArrowLeft: now - 1, PageUp: now - 1, Home: 1, End: last }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  show(to);
});
show(now);
