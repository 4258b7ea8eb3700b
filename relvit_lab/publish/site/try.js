// The page: it follows the state, and what a person does changes the state.

const page = Object.fromEntries([...document.querySelectorAll("[id]")].map((one) => [one.id, one]));
const current = () => STEPS.find(({ id }) => id === s.step);
let drawing = 0; // counts, so that an answer that comes late is dropped
const chooser = imageChooser({
  images, offered, within: document,
  chosen: () => s.image,
  read: (k) => look(k, about().size),
  choose: (k, isNew) => change({ image: k, ...(isNew && { shuffle: 0 }) }),
  complain: (words) => write(page.trouble, words),
});
for (const name of ["pick", "file", "camera", "video"]) chooser[name].id = name;
page.images.append(chooser.pick, chooser.own, chooser.video);

// -- what is shown -------------------------------------------------------------------------------------------------

/** Everything anew from the state. */
async function draw() {
  const mine = ++drawing, step = current(), at = STEPS.indexOf(step), a = await answers(step.on?.()), m = about(a.at);
  const planes = (await step.planes?.()) ?? a.planes, html = await step.html?.(a), words = await step.said(a);
  if (mine !== drawing) return;
  write(page.title, at >= STEPS.findIndex(({ id }) => id === PLAY) ? step.title : `${at + 1} · ${step.title}`);
  write(page.sentence, step.sentence(m));
  write(page.todo, step.todo);
  const image = fresh(page.seen);
  if (step.fixed) step.image(image, a);
  else {
    drawPatches(image, planes, m.side, s.shuffle || step.title === "Cut" ? 0.03 : 0);
    marks(image, a, step.pair);
  }
  page.drawn.hidden = Boolean(html);
  page.picture.querySelector(".instead")?.remove();
  if (html) {
    html.classList.add("instead");
    page.drawn.after(html);
    html.paint?.(); // a canvas has its size once it is in the page
  } else step.draw(fresh(page.drawn), a);
  page.drawn.setAttribute("aria-label", `${step.caption()}. ${words}`);
  write(page["picture-words"], step.caption());
  write(page["image-words"], imageWords(step, m));
  write(page.said, words);
  const [keys, now] = step.pair ? [`patch ${s.picks}, with Shift the other`, `i ${s.i}, j ${s.j}`] : ["a patch", s.j];
  page.seen.setAttribute("aria-label", step.fixed ? step.imageWords() :
    `What the model sees, a grid of ${m.side} by ${m.side} patches. Arrow keys choose ${keys}. Now ${now}.`);
  Object.assign(document.body.dataset, { step: s.step, drawn: drawing }, s);
}

/** Controls, the list of steps, the images: what has the focus keeps it. */
function build() {
  const step = current(), at = STEPS.indexOf(step), old = document.activeElement;
  const marked = old?.name ? [old.name, old.value] : old?.textContent, inside = page.controls.contains(old);
  page.controls.replaceChildren(...(step.controls?.() ?? []));
  if (inside) {
    const now = [...page.controls.querySelectorAll("input, button")];
    (now.find((each) => (each.name ? each.name === marked[0] && each.value === marked[1] : each.textContent === marked))
      ?? now[0])?.focus();
  }
  page.steps.replaceChildren(...STEPS.map(({ id, title }) =>
    element("li", {}, element("a", { href: link(id), ...(id === s.step && { "aria-current": "step" }) }, title))));
  page.back.hidden = at === 0;
  page.next.hidden = at === STEPS.length - 1;
  write(page.next, STEPS[at + 1]?.id === PLAY ? "Your turn →" : "Next →");
  page.images.hidden = !step.images;
  chooser.build();
}

function imageWords(step, m) {
  if (step.fixed) return step.imageWords();
  if (s.noise && step.title === "Cheat") return `Noise (patch ${s.j}: framed)`;
  const frames = step.pair ? "j: framed, i: dashed" : `patch ${s.j}: framed`;
  const shuffled = s.shuffle ? ", shuffled" : "";
  return `${images[s.image].name}, as the model sees it: ${m.size} × ${m.size} pixels${shuffled} (${frames})`;
}

function write(where, words) {
  if (where.textContent !== words) where.textContent = words; // else it would be read out again
}

// -- what changes it -----------------------------------------------------------------------------------------------

/** Into another state, which the link then holds. */
function change(news) {
  const other = "model" in news && news.model !== s.model;
  Object.assign(s, news);
  write(page.trouble, "");
  history.replaceState(null, "", link());
  if (other) readLink(); // another grid, other tasks
  build();
  return draw().catch(complain);
}

/** The patches in another order; those that are chosen stay chosen. */
function reorder(shuffle) {
  const n = about().side ** 2, old = permutation(n, s.shuffle), now = permutation(n, shuffle);
  return change({ shuffle, j: now.indexOf(old[s.j]), i: now.indexOf(old[s.i]) });
}

function go(to) {
  location.hash = link(STEPS[STEPS.indexOf(current()) + to].id); // hashchange does the rest, and Back leads back
}

async function follow(focus) {
  readLink();
  build();
  if (focus) page.title.focus();
  await draw().catch(complain);
}

function complain(error) {
  console.error(error);
  write(page.trouble, `Something went wrong: ${error.message}`);
}

function choose(which, t) {
  if (s[which] === t) return;
  s[which] = t;
  history.replaceState(null, "", link());
  draw().catch(complain);
}

const which = (shift = false) => (current().pair && (s.picks === "i") !== shift ? "i" : "j");
for (const canvas of [page.seen, page.drawn]) {
  const hit = ({ offsetX, offsetY }) => {
    const { side } = about(), part = (v) => between(0, Math.floor((v * side) / canvas.clientWidth), side - 1);
    return part(offsetY) * side + part(offsetX);
  };
  const chosen = (event) => {
    if (current().fixed || (canvas === page.drawn && current().title === "Cut")) return;
    if (event.type === "pointerdown" || event.buttons) choose(which(event.shiftKey), hit(event));
  };
  canvas.addEventListener("pointerdown", chosen);
  canvas.addEventListener("pointermove", chosen);
}
page.seen.addEventListener("keydown", (event) => {
  const { side } = about(), mine = which(event.shiftKey), [y, x] = [Math.floor(s[mine] / side), s[mine] % side];
  if (current().fixed || !(event.key in WAYS) || event.altKey || event.ctrlKey || event.metaKey) return;
  const to = led(event, [y, x], [side, side]);
  choose(mine, to[0] * side + to[1]);
  event.preventDefault();
});
page.back.addEventListener("click", () => go(-1));
page.next.addEventListener("click", () => go(1));
page.copy.addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(location.href);
    write(page.said, "The link to this picture is copied.");
  } catch {
    write(page.said, "The link to this picture stands in the address line.");
  }
});
window.addEventListener("hashchange", () => follow(true));
window.addEventListener("resize", () => draw().catch(complain));
window.relvit = { state: s, about, answers, quick: quicker !== null }; // for the browser's console, and for tests
await follow(false);
document.body.dataset.ready = "true";
