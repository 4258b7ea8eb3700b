// The attention-score explorer (its files are joined to one module, explorer.py says in which order): what the traits
// hold, and what follows.
// Token t lies at place t and holds patch p[t]; i and j are tokens, and [k, i, j] is the k-th score about i, seen from
// the chosen token j.
const percent = (v) => `${(100 * v).toFixed(v < 0.0995 ? 1 : 0)}\u00a0%`;
const number = (v, digits) => v.toFixed(digits).replace(/^-(?=[0.]*$)/, "").replace("-", "−");
const short = (v) => number(v, Math.abs(v) >= 9.95 ? 1 : 2);

function softmax(values) {
  const most = Math.max(...values), powers = values.map((v) => Math.exp(v - most));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((v) => v / sum);
}

function unpackOrder(models) {
  return models.map((one) => ({
    tasks: Object.fromEntries(Object.entries(one.tasks).map(([name, task]) => {
      const kind = task.outputs > 256 ? Uint16Array : Uint8Array; // a value is what it says: no classes then
      const said = task.said && new kind(copy(task.said));
      return [name, { ...task, said, scores: new Uint16Array(copy(task.scores)) }];
    })),
    share: one.share && new Uint8Array(copy(one.share)),
    top: one.top && new Float32Array(copy(one.top)),
  }));
}

/** The traits unpacked, and s, what is shown: the answers to all that may be asked about it. */
function reader(model) {
  const s = { task: model.get("task"), j: 0, i: 0, k: 0, pinned: false, softmax: true, shuffle: 0, block: 1, head: 0,
    cls: false, back: false, colour: 0.8 };
  const r = { s, data: null, orders: null, picture: null };
  let p;
  function take() {
    const raw = model.get("data");
    const tasks = Object.entries(raw.tasks).map(([name, task]) =>
      [name, { ...task, target: new Float32Array(copy(task.target)) }]);
    r.data = { ...raw, tasks: Object.fromEntries(tasks) };
    r.orders = Object.fromEntries(Object.entries(raw.shuffles).map(([s, models]) => [s, unpackOrder(models)]));
    p = new Uint8Array(copy(raw.permutations));
    takeExtra();
  }
  function takeExtra() {
    const { shuffle, models } = model.get("extra");
    if (models) r.orders[shuffle] = unpackOrder(models);
  }
  take();
  const side = r.data.side, N = side * side, last = p.length / N - 1, heats = new Uint8Array(copy(r.data.heat));

  const task = () => r.data.tasks[s.task];
  const isPlaces = () => task().kind === "places"; // the K scores of one token are a map over the places
  const isClass = () => task().kind !== "values";
  const asked = () => (task().pairs ? [s.i, s.j] : [s.j, s.j]);
  const answers = (m) => r.orders[s.shuffle][m].tasks[s.task];
  const permutation = (order) => p.subarray(order * N, (order + 1) * N);
  const patchAt = (t) => p[s.shuffle * N + t];
  const tokenOf = (patch) => permutation(s.shuffle).indexOf(patch);
  const whereIs = (t) => (s.back ? patchAt(t) : t);
  const tokenAt = (place) => (s.back ? tokenOf(place) : place);
  const target = (i, j) => task().target[task().pairs ? patchAt(i) * N + patchAt(j) : patchAt(i)];
  const score = (m, k, i, j) => {
    const { scores, low, step } = answers(m);
    return low + step * scores[task().pairs ? (k * N + i) * N + j : k * N + i];
  };
  const said = (m, i, j) => (isClass() ? answers(m).said[task().pairs ? i * N + j : i] : score(m, 0, i, j));
  const isWrong = (m, i, j) => Math.abs(said(m, i, j) - target(i, j)) > task().tolerance + 1e-6 * isClass();
  const outputs = () => Math.max(...r.data.models.map((_, m) => answers(m)?.outputs ?? 0));
  const name = (k) => (isClass() ? `${k}${task().names[k] ? ` ${task().names[k]}` : ""}` : short(k));
  const showsShares = () => s.softmax && isClass();
  /** Scores and softmax of every token seen from j, by k; of token j by place where the classes are places. */
  function fields(m) {
    const K = answers(m).outputs, all = (from, to) => Array.from({ length: from }, (_, a) => to(a));
    if (isPlaces()) {
      const raw = all(K, (c) => score(m, c, s.j, 0));
      return { raw: [raw], share: [softmax(raw)] };
    }
    const raw = all(K, (k) => all(N, (t) => score(m, k, t, s.j)));
    const shares = all(N, (t) => softmax(raw.map((map) => map[t])));
    return { raw, share: all(K, (k) => shares.map((of) => of[k])) };
  }
  /** How much the token that looks does so at every token, (T,); it is CLS, or j. */
  function look(m) {
    const { share, top } = r.orders[s.shuffle][m], { blocks, heads, prefix } = r.data.models[m];
    const T = N + prefix, from = s.cls && prefix ? 0 : prefix + s.j, block = Math.min(s.block, blocks) - 1;
    const which = s.head ? [Math.min(s.head, heads) - 1] : [...Array(heads).keys()];
    return Array.from({ length: T }, (_, t) => which.reduce((sum, h) => {
      const row = (block * heads + h) * T + from;
      return sum + (share[row * T + t] * top[row]) / 255;
    }, 0) / which.length);
  }
  const heat = (part) => inScale(heats, part);

  return Object.assign(r, { side, N, last, take, takeExtra, task, isPlaces, isClass, asked, answers, patchAt, tokenOf,
    permutation, whereIs, tokenAt, target, score, said, isWrong, outputs, name, showsShares, fields, look,
    heat });
}

/**
 * On a page without a kernel all that its models say about an image in one order, as _order in explorer.py.
 *
 * r: the reader. planes: the image, (3,S,S) in [0, 1]. order: the number of a permutation. first: what this function
 * gave for the image in its own order; null for that one.
 */
function computedOrder(r, page, planes, order, first) {
  const p = r.permutation(order);
  return page.models.map((_, m) => {
    const { attention, answers } = answersHere(page, m, planes, p, r.data.tasks);
    const tasks = Object.fromEntries(Object.entries(answers).map(([name, one]) => [name, { ...one, low: 0, step: 1,
      drift: first ? apart(one.scores, first[m].tasks[name].scores, p, r.data.tasks[name].pairs) : 0 }]));
    const share = joined(attention.flat()); // (L*h,T,T), of 255
    return { tasks, share, top: new Float32Array(share.length / (r.N + 1)).fill(255) };
  });
}

/** How far scores are from those of the image in its own order, moved with its patches: the largest difference. */
function apart(now, first, p, pairs) {
  const N = p.length, of = pairs ? N * N : N;
  return now.reduce((most, value, at) => {
    const i = p[pairs ? Math.floor((at % of) / N) : at % of];
    return Math.max(most, Math.abs(value - first[at - (at % of) + (pairs ? i * N + p[at % N] : i)]));
  }, 0);
}
