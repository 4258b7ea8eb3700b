// Explorers on a page that carries what computes (show/in_page): another image, and what a model says about it, as the
// kernel else sends it. It comes after explorer_grid.js in their modules.

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
 * planes: (3,S,S) in [0, 1]. p: the permutation, (N,). tasks: those that are asked, by name; target: each one's, in
 * standard order. Gives attention, L times h maps (T,T), and by task outputs, scores (K,N,N) or (K,N), said (N,N) or
 * (N,): the numbers of the largest, or the values; verdict.
 */
function answersHere(page, m, planes, p, tasks, target) {
  const { mean, std } = page.models[m], N = p.length, answers = {};
  const out = page.forward(page.trained(m), page.normalised(page.permuted(planes, p), mean, std));
  for (const [name, task] of Object.entries(tasks)) {
    const given = out.scores[name];
    if (!given) continue;
    const scores = task.pairs ? joined(given) : acrossTokens(given), of = task.pairs ? N * N : N;
    const outputs = scores.length / of, said = task.kind === "values" ? scores : largest(scores, outputs, of);
    let wrong = 0, error = 0;
    for (let at = 0; at < of; at++) {
      const off = said[at] - target(name)[task.pairs ? p[Math.floor(at / N)] * N + p[at % N] : p[at]];
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
