// What the two explorers of tokens share beside canvas.js: the words and keys of a grid, the picture under its colours,
// and on a page another image, and what a model says about it, as the kernel else sends it.
const KEYS = "Arrow keys move, Home and End go along the row, Page Up and Page Down along the column.";
const TOUCH = matchMedia("(hover: none)").matches; // a telephone: nothing hovers, a tap is all there is

/** The colour of a part, 0 to 1, in a scale of 256, three bytes each. */
const inScale = (scale, part) => scale.subarray(3 * between(0, Math.floor(part * 256), 255)).slice(0, 3);

/** Enter and space pin the anchor or let it go, Escape lets it go. Whether the key is one of these. */
function pins({ key }, state) {
  if (!["Enter", " ", "Escape"].includes(key)) return false;
  state.pinned = key !== "Escape" && !state.pinned;
  return true;
}

/** The picture with patch patchAt(t) in place placeOf(t), and paler, the more colour (0 to 1) is to lie over it. */
function underlay(picture, side, size, colour, patchAt, placeOf, smooth) {
  const plain = layer(size, (ctx) => {
    const c = picture.width / side;
    ctx.imageSmoothingEnabled = smooth;
    ctx.imageSmoothingQuality = "high";
    for (let t = 0; t < side * side; t++) {
      const from = patchAt(t);
      ctx.drawImage(picture, (from % side) * c, Math.floor(from / side) * c, c, c, ...cell(placeOf(t), size, side));
    }
  });
  const pale = layer(size, (ctx) => { // the more colour lies over it, the less it has itself,
    ctx.filter = `saturate(${1 - colour})`;
    ctx.drawImage(plain, 0, 0);
    ctx.fillStyle = `rgba(255, 255, 255, ${colour / 2})`; // and lighter, or it darkens them
    ctx.fillRect(0, 0, size, size);
  });
  return { plain, pale };
}

/** build() whenever the panels have another size than they were drawn for (a zoom or another screen, too: more pixels in
 * the same space). Gives what ends that. */
function onResize(panels, build) {
  const fit = () => panels.some(({ canvas, size }) => Math.round(canvas.clientWidth * devicePixelRatio) !== size) && build();
  const watcher = new ResizeObserver(fit);
  window.addEventListener("resize", fit);
  for (const { canvas } of panels) watcher.observe(canvas);
  return () => {
    watcher.disconnect();
    window.removeEventListener("resize", fit);
  };
}

// -- on a page that carries what computes (show/in_page) -------------------------------------------------------------

/**
 * On a page that computes, what one chooses another image with (elements); null elsewhere.
 *
 * page: the trait _in_page. png: of the explorer's own image, `size` pixels a side. use(planes, image): is called with
 * what is chosen, (3,S,S) in [0, 1]; image is null for the explorer's own. within, complain: as imageChooser takes
 * them.
 */
function otherImages(page, { png, size, use, within, complain }) {
  if (!page) return null;
  const blob = new Blob([png], { type: "image/png" }), seen = new Map();
  const first = { name: "The image of this notebook", dataset: "own", blob, address: URL.createObjectURL(blob) };
  const images = [first, ...page.images];
  let chosen = 0, asked = 0;
  async function read(k) {
    if (!seen.has(images[k])) seen.set(images[k], await page.readImage(images[k].blob, size));
    return seen.get(images[k]);
  }
  async function choose(k) {
    const mine = ++asked, planes = await read(k);
    if (mine !== asked) return; // another one was chosen meanwhile
    chosen = k;
    chooser.build();
    use(planes, k ? images[k] : null);
  }
  const dataset = page.models[0]?.dataset ?? "photographs";
  const chooser = page.imageChooser({ images, read, choose, within, complain, chosen: () => chosen,
    offered: () => page.offeredTo(images, dataset) });
  chooser.build();
  const root = element("div", { class: "bar" }, chooser.pick, chooser.own, chooser.video);
  for (const each of root.querySelectorAll("input, button")) each.dataset.lmSuppressShortcuts = "true";
  return { root, own: () => read(0) };
}

/**
 * What model m of the page says about an image in an order of its patches.
 *
 * planes: (3,S,S) in [0, 1]. p: the permutation, (N,). tasks: those that are asked, by name. Gives attention, L times h
 * maps (T,T), and by task outputs, scores (K,N,N) or (K,N), said (N,N) or (N,): the numbers of the largest, or the
 * values; verdict.
 */
function answersHere(page, m, planes, p, tasks) {
  const { mean, std } = page.models[m], N = p.length, answers = {};
  const out = page.forward(page.trained(m), page.normalised(page.permuted(planes, p), mean, std));
  for (const [name, task] of Object.entries(tasks)) {
    const given = out.scores[name];
    if (!given) continue;
    const scores = task.pairs ? joined(given) : acrossTokens(given), of = task.pairs ? N * N : N;
    const outputs = scores.length / of, said = task.kind === "values" ? scores : largest(scores, outputs, of);
    let wrong = 0, error = 0;
    for (let at = 0; at < of; at++) {
      const off = said[at] - task.target[task.pairs ? p[Math.floor(at / N)] * N + p[at % N] : p[at]];
      wrong += Math.abs(off) > task.tolerance;
      error += (off * off) / of;
    }
    answers[name] = { outputs, scores, said, verdict: verdict(task, wrong / of, error) };
  }
  return { attention: out.attention, answers };
}

/** The share that is right in words, as show/task_views.py has it. error: the mean squared one. */
function verdict({ pairs, kind, tolerance }, wrong, error) {
  const right = `${(100 * (1 - wrong)).toFixed(1)} %`, what = pairs ? "pairs" : "patches";
  return kind !== "values" ? `${right} of all ${what} right`
    : `MSE x 100: ${(100 * error).toFixed(1)}; ${right} of all ${what} within ${Number(tolerance.toPrecision(2))}`;
}

/** Matrices, one after the other. */
function joined(matrices) {
  const all = new Float32Array(matrices.length * matrices[0].data.length);
  matrices.forEach(({ data }, k) => all.set(data, k * data.length));
  return all;
}

/** (N,K) -> (K,N) */
function acrossTokens({ rows, columns, data }) {
  return data.map((_, at) => data[(at % rows) * columns + Math.floor(at / rows)]);
}

/** Of `outputs` scores for each of `of` answers the number of the largest. (outputs*of,) -> (of,) */
function largest(scores, outputs, of) {
  return Uint16Array.from({ length: of }, (_, at) => {
    let best = 0;
    for (let k = 1; k < outputs; k++) if (scores[k * of + at] > scores[best * of + at]) best = k;
    return best;
  });
}
