// On a page without a kernel: all that its models say about an image in one order, as _order in explorer.py.

/**
 * r: the reader. planes: the image, (3,S,S) in [0, 1]. order: the number of a permutation. first: what this function
 * gave for the image in its own order; null for that one.
 */
function computedOrder(r, page, planes, order, first) {
  const p = r.permutation(order);
  return page.models.map((_, m) => {
    const { attention, answers } = answersHere(page, m, planes, p, r.data.tasks, r.targetOf);
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
