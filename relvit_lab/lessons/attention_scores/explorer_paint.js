// Canvases and words. It draws what the reader r says, whole, whenever that has changed.
const MANY = 12; // outputs up to which each has its column in the table

/** paintRow draws a model's four panels; afresh() is to be called when picture, order or colours have changed. */
function painter(r) {
  const { s, side, N, task, isPlaces, isClass, answers, patchAt, whereIs, target, said, isWrong, outputs, name } = r;
  const { heat } = r;
  let under = { size: 0 }; // the picture at that size

  function paintRow({ m, panels, verdict, root }) {
    const [says, map, all, looks] = panels, given = answers(m), { without } = r.data.models[m];
    root.dataset.look = without ? "" : paintLook(m, looks);
    if (without) nothing(looks, "No attention maps", without);
    if (!given) {
      for (const each of [says, map, all]) nothing(each, "Nothing to show", `it has no head for ${task().title}`);
      verdict.textContent = "";
      return void Object.assign(root.dataset, { said: "", score: "", share: "" });
    }
    const drift = given.drift.toFixed(given.drift < 0.001 ? 5 : 2);
    verdict.textContent = given.verdict
      + (s.shuffle ? `; against the unshuffled scores, moved with the patches: off by at most ${drift}` : "");
    const found = r.fields(m), shown = r.showsShares() ? found.share : found.raw, every = shown.flat();
    const high = Math.max(...every), ends = r.showsShares() ? [0, isPlaces() ? high : 1] : [Math.min(...every), high];
    paintAnswers(m, says);
    paintMap(m, map, shown, ends);
    if (!all.box.hidden) paintAll(all, shown, ends);
    const [a, b] = r.asked(), k = Math.min(s.k, given.outputs - 1);
    const share = isPlaces() ? found.share[0][k] : found.share[k][a];
    Object.assign(root.dataset, { said: said(m, a, b), score: r.score(m, k, a, b), share });
  }

  function describe(each, title, text, scale) {
    each.caption.replaceChildren(element("b", {}, title), text);
    if (!scale) return void each.scale.replaceChildren();
    if (typeof scale === "string") return void each.scale.replaceChildren(scale);
    const stops = Array.from({ length: 9 }, (_, k) => `rgb(${heat(k / 8.001)})`);
    const bar = element("i", { style: `background: linear-gradient(to right, ${stops})` });
    each.scale.replaceChildren(scale[0], bar, scale[1]);
  }
  function nothing(each, title, text) {
    describe(each, title, text);
    each.canvas.getContext("2d").clearRect(0, 0, each.size, each.size);
  }

  /** fill(t): the colour of token t's cell, or null; mark(t): a text, or {relation, cross}; own: cells are places. */
  function paintCells(each, fill, mark, frames, own = false) {
    const ctx = each.canvas.getContext("2d"), size = each.size, ratio = devicePixelRatio, c = size / side;
    if (!size) return;
    if (under.size !== size) under = { size, ...underlay(r.picture, side, size, s.colour, patchAt, whereIs, false) };
    ctx.drawImage(under.pale, 0, 0);
    ctx.textAlign = "center";
    ctx.textBaseline = "middle";
    for (let t = 0; t < N; t++) {
      const [x, y, w, h] = cell(own ? t : whereIs(t), size, side), shade = fill(t), sees = mark(t);
      if (!shade) {
        ctx.drawImage(under.plain, x, y, w, h, x, y, w, h);
        continue;
      }
      ctx.globalAlpha = Math.sqrt(s.colour);
      ctx.fillStyle = `rgb(${shade})`;
      ctx.fillRect(x, y, w, h);
      ctx.globalAlpha = 1;
      const ink = s.colour < 0.3 ? "#FFFFFF" : inkOn(shade);
      if (sees && typeof sees === "object") sign(ctx, x, y, c, sees.relation, sees.cross, ink);
      else if (sees && c / ratio >= 26) {
        ctx.font = `${Math.min((c * 1.2) / Math.max(sees.length, 2.6), 16 * ratio)}px system-ui,sans-serif`;
        ctx.strokeStyle = ink === "#FFFFFF" ? "#000B" : "#FFFC";
        ctx.lineWidth = 2.5 * ratio;
        if (s.colour < 1) ctx.strokeText(sees, x + c / 2, y + c / 2);
        ctx.fillStyle = ink;
        ctx.fillText(sees, x + c / 2, y + c / 2);
      }
    }
    gridLines(ctx, size, side, ratio, "#FFFFFFCC");
    for (const [q, thin, dashed] of frames) {
      const [x, y, w, h] = cell(q, size, side), pad = thin * ratio;
      frame(ctx, x + pad, y + pad, w - 2 * pad, h - 2 * pad, pad, dashed);
    }
  }
  const pair = () => [...(s.i === s.j ? [] : [[whereIs(s.i), 1.8, true]]), [whereIs(s.j), 2.6, false]];

  function paintAnswers(m, each) {
    const { kind, low, high, colours, marks } = task();
    const wrong = (t) => isWrong(m, t, s.j);
    const fill = (t) => (task().pairs && t === s.j ? null : kind === "places" ? rgb(wrong(t) ? WRONG : PLAIN)
      : kind === "values" ? heat((said(m, t, s.j) - low) / (high - low)) : rgb(colours[said(m, t, s.j)]));
    const mark = (t) => (kind === "relations" || (wrong(t) && kind !== "places")
      ? { relation: said(m, t, s.j), cross: wrong(t) }
      : isClass() ? marks[said(m, t, s.j)] : number(said(m, t, s.j), 1));
    paintCells(each, fill, mark, pair());
    const right = Array.from({ length: N }, (_, t) => !wrong(t)).filter(Boolean).length;
    describe(each, "What it says", `${right} of ${N} right${task().pairs ? " from here" : ""}`,
      kind === "values" ? [short(low), short(high)] : kind === "places" ? "orange: a mistake" : "cross: a mistake");
  }

  function paintMap(m, each, shown, [low, high]) {
    const k = isPlaces() ? 0 : Math.min(s.k, shown.length - 1), values = shown[k];
    const part = (v) => (v - low) / (high - low || 1), shares = r.showsShares();
    const text = (v) => (!shares ? number(v, Math.abs(v) < 9.95 ? 1 : 0)
      : v < 0.005 ? "0" : v.toFixed(2).replace(/^0/, ""));
    const frames = isPlaces() ? [[target(s.j, s.j), 2.2, true]] : pair();
    const known = (t) => t < values.length; // a place of the grid may have no class
    paintCells(each, (t) => (known(t) ? heat(part(values[t])) : null), (t) => known(t) && text(values[t]),
      frames, isPlaces());
    const what = shares ? "probability" : "score", from = task().pairs ? `seen from token ${s.j}` : `of each patch`;
    if (isPlaces())
      describe(each, `${shares ? "Softmax over" : "Raw"} ${values.length} scores`,
        `of token ${s.j}: where does it belong? Dashed: there.`, [short(low), short(high)]);
    else if (!isClass()) describe(each, "The raw score", `${from}: it is the answer itself`, [short(low), short(high)]);
    else describe(each, `${shares ? "Softmax" : "Raw score"}, k = ${name(k)}`, `the ${what} of this answer, ${from}`,
      [short(low), short(high)]);
  }

  const columns = () => Math.ceil(Math.sqrt(outputs()));
  function paintAll(each, shown, [low, high]) {
    const ctx = each.canvas.getContext("2d"), size = each.size, ratio = devicePixelRatio, wide = size / columns();
    const tall = size / Math.ceil(shown.length / columns()), word = Math.min(15 * ratio, tall * 0.2);
    const length = Math.floor(Math.min(wide - 6 * ratio, tall - word - 8 * ratio)), c = length / side;
    ctx.clearRect(0, 0, size, size);
    ctx.textAlign = "center";
    ctx.textBaseline = "alphabetic";
    shown.forEach((values, k) => {
      const left = Math.round((k % columns()) * wide + (wide - length) / 2);
      const top = Math.round(Math.floor(k / columns()) * tall + word + 4 * ratio);
      values.forEach((v, t) => {
        const [x, y, w, h] = cell(whereIs(t), length, side);
        ctx.fillStyle = `rgb(${heat((v - low) / (high - low || 1))})`;
        ctx.fillRect(left + x, top + y, w, h);
      });
      ctx.fillStyle = getComputedStyle(ctx.canvas).color || INK; // of the page, which may be dark
      ctx.font = `${k === s.k ? "bold " : ""}${word * 0.9}px system-ui,sans-serif`;
      ctx.fillText(task().names[k] || k, left + length / 2, top - 3 * ratio);
      if (k === s.k) frame(ctx, left, top, length, length, 2 * ratio);
      const q = whereIs(s.j);
      ctx.strokeStyle = "#FFFFFF";
      ctx.lineWidth = ratio;
      ctx.strokeRect(left + (q % side) * c, top + Math.floor(q / side) * c, c, c);
    });
    describe(each, `All ${shown.length} ${r.showsShares() ? "probabilities" : "scores"}`, "click one, or arrow keys",
      "the same colours");
  }

  function paintLook(m, each) {
    const { blocks, heads, prefix } = r.data.models[m], values = r.look(m), most = Math.max(...values.slice(prefix));
    const text = (t) => String(Math.round(100 * values[prefix + t]));
    paintCells(each, (t) => heat(values[prefix + t] / most), text, pair());
    const rest = values.slice(0, prefix).reduce((a, b) => a + b, 0);
    const which = s.head ? `head ${Math.min(s.head, heads)} of ${heads}` : `mean of ${heads} heads`;
    describe(each, `Attention, block ${Math.min(s.block, blocks)} of ${blocks}`,
      `in %, ${which}, from ${s.cls && prefix ? "CLS" : `token ${s.j}`}${prefix ? `; ${percent(rest)} to CLS` : ""}`,
      ["0 %", percent(most)]);
    return values[prefix + s.i];
  }

  return { paintRow, columns, afresh: () => (under.size = 0) };
}

/** The chosen pair in words. */
function pairInWords(r) {
  const { s, task, answers, patchAt, name } = r, [a, b] = r.asked(), models = r.data.models.length;
  const here = (t) => `patch ${patchAt(t)}${s.shuffle ? ` (now at place ${t})` : ""}`;
  const about = task().pairs ? `i = ${here(a)}, seen from j = ${here(b)}` : `j = ${here(b)}`;
  const verdicts = [...Array(models).keys()].filter(answers).map((m) =>
    `${models > 1 ? ["The first model", "the second"][m] : "The model"} says ${name(r.said(m, a, b))}${
      r.isWrong(m, a, b) ? ": a mistake" : ", right"}`);
  return `${about}. True: ${name(r.target(a, b))}. ${verdicts.join("; ")}.${s.pinned ? " Token j is pinned." : ""}`;
}

/** The K scores of the chosen pair and their softmax, for each model. */
function fillTable(r, table) {
  const { s, answers, name } = r, [a, b] = r.asked(), K = r.outputs();
  table.replaceChildren();
  if (!r.isClass()) return;
  const raws = r.data.models.map((_, m) =>
    answers(m) && Array.from({ length: answers(m).outputs }, (_, k) => r.score(m, k, a, b)));
  let ks = [...Array(K).keys()];
  if (K > MANY) { // the five largest of each, and the true one
    const largest = (raw) => (raw ? [...raw.keys()].sort((x, y) => raw[y] - raw[x]).slice(0, 5) : []);
    const some = new Set([r.target(a, b), ...raws.flatMap(largest)]);
    ks = ks.filter((k) => some.has(k));
  }
  const entry = (tag, value, k, style = "") =>
    element(tag, { style, class: k === s.k && !r.isPlaces() ? "chosen" : "" }, value);
  const line = (title, tag, of) => table.append(element("tr", {}, element(tag, {}, title), ...ks.map(of)));
  line(K > MANY ? `the largest of ${K}` : `the ${K} scores`, "th", (k) =>
    entry("th", `${name(k)}${k === r.target(a, b) ? " ✓" : ""}`, k));
  raws.forEach((raw, m) => {
    if (!raw) return;
    const shares = softmax(raw), of = raws.length > 1 ? ` (${m + 1})` : "";
    const bar = (v) => `color: #222; background: linear-gradient(to top, #56B4E9 ${100 * v}%, #F2F2F2 ${100 * v}%)`;
    line(`score${of}`, "td", (k) => entry("td", k < raw.length ? short(raw[k]) : "", k));
    line(`softmax${of}`, "td", (k) =>
      k < raw.length ? entry("td", shares[k].toFixed(3), k, bar(shares[k])) : entry("td", "", k));
  });
}

