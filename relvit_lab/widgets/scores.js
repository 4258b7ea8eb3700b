// The attention-score explorer. One order of the patches is here whole: picking tokens and scores asks nothing of the
// kernel, another order and another image do. Token t lies at place t and holds patch p[t]; i and j are tokens, and
// [k, i, j] is the k-th score about i, seen from the chosen token j.
const INK = "#222222", WRONG = "#E69F00", PLAIN = "#EEEEEE";
const MANY = 12; // outputs up to which each has its map and its column in the table
const PATIENCE = 6000; // ms after which a kernel that has not answered is taken for none
const LARGEST = 256; // pixels of the shorter side of an image that is sent to the kernel
const KEYS = "Arrow keys move, Home and End go along the row, Page Up and Page Down along the column.";
const HELP = `Hover or arrow keys: the chosen token j (solid frame) moves. Click or Enter pins it, then i (dashed) moves;
with Shift, the arrow keys move i at any time; Escape lets go. A click on a small map, or the arrow keys there, choose the
score k. Crosses: mistakes.`;
const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

const copy = (view) => view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength); // for its alignment
const rgb = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
const inkOn = ([r, g, b]) => (0.299 * r + 0.587 * g + 0.114 * b < 128 ? "#FFFFFF" : "#000000");
const between = (low, v, high) => Math.max(low, Math.min(high, v));
const at = (k, size, count) => Math.round((k * size) / count);
const percent = (v) => `${(100 * v).toFixed(v < 0.0995 ? 1 : 0)} %`;
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
      return [name, { ...task, scores: new Uint16Array(copy(task.scores)), said: task.said && new kind(copy(task.said)) }];
    })),
    share: one.share && new Uint8Array(copy(one.share)),
    top: one.top && new Float32Array(copy(one.top)),
  }));
}

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function layer(size, draw) {
  const canvas = element("canvas", { width: Math.max(1, size), height: Math.max(1, size) });
  draw(canvas.getContext("2d"));
  return canvas;
}

/** A frame that is seen on light and on dark. */
function frame(ctx, x, y, w, h, width, dashed = false) {
  for (const [colour, wide, dash] of [["#FFFFFF", 2.4, []], [INK, 1, dashed ? [width * 2.5, width * 2] : []]]) {
    ctx.setLineDash(dash);
    ctx.strokeStyle = colour;
    ctx.lineWidth = width * wide;
    ctx.strokeRect(x, y, w, h);
  }
  ctx.setLineDash([]);
}

/** In a cell of side c an arrow that points from j towards the patch, or a cross; its rim makes it stand out. */
function sign(ctx, x, y, c, relation, cross, ink) {
  const dx = (relation % 3) - 1, dy = Math.floor(relation / 3) - 1, r = c * 0.3, head = c * 0.2;
  const lines = cross ? [[-r, -r, r, r], [-r, r, r, -r]] : [[-r, 0, r, 0], [r - head, -head, r, 0, r - head, head]];
  if (!cross && !dx && !dy) return;
  ctx.save();
  ctx.translate(x + c / 2, y + c / 2);
  if (!cross) ctx.rotate(Math.atan2(dy, dx));
  ctx.lineCap = ctx.lineJoin = "round";
  ctx.beginPath();
  for (const line of lines)
    for (let k = 0; k < line.length; k += 2) ctx[k ? "lineTo" : "moveTo"](line[k], line[k + 1]);
  for (const [colour, width] of [[ink === "#FFFFFF" ? "#0008" : "#FFF9", 0.17], [ink, 0.085]]) {
    ctx.strokeStyle = colour;
    ctx.lineWidth = Math.max(1, c * width);
    ctx.stroke();
  }
  ctx.restore();
}

function render({ model, el }) {
  let data, orders, p, targets, picture, waiting = null, trouble = "", gone = false;
  function take() {
    data = model.get("data");
    orders = Object.fromEntries(Object.entries(data.shuffles).map(([s, models]) => [s, unpackOrder(models)]));
    p = new Uint8Array(copy(data.permutations));
    targets = Object.fromEntries(
      Object.entries(data.tasks).map(([name, { target }]) => [name, new Float32Array(copy(target))]));
    takeExtra();
  }
  function takeExtra() {
    const { shuffle, models } = model.get("extra");
    if (models) orders[shuffle] = unpackOrder(models);
  }
  take();
  const side = data.side, N = side * side, last = p.length / N - 1, heats = new Uint8Array(copy(data.heat));
  const s = { task: model.get("task"), j: 0, i: 0, k: 0, pinned: false, softmax: true, shuffle: 0, block: 1, head: 0,
    cls: false, back: false, colour: 0.8 };

  // -- what is true, what the models say ----------------------------------------------------------------------------
  const task = () => data.tasks[s.task];
  const isPlaces = () => task().kind === "places"; // the K scores of one token are a map over the places
  const isClass = () => task().kind !== "values";
  const asked = () => (task().pairs ? [s.i, s.j] : [s.j, s.j]);
  const answers = (m) => orders[s.shuffle][m].tasks[s.task];
  const patchAt = (t) => p[s.shuffle * N + t];
  const tokenOf = (patch) => p.subarray(s.shuffle * N, (s.shuffle + 1) * N).indexOf(patch);
  const whereIs = (t) => (s.back ? patchAt(t) : t);
  const tokenAt = (place) => (s.back ? tokenOf(place) : place);
  const target = (i, j) => targets[s.task][task().pairs ? patchAt(i) * N + patchAt(j) : patchAt(i)];
  const score = (m, k, i, j) => {
    const { scores, low, step } = answers(m);
    return low + step * scores[task().pairs ? (k * N + i) * N + j : k * N + i];
  };
  const said = (m, i, j) => (isClass() ? answers(m).said[task().pairs ? i * N + j : i] : score(m, 0, i, j));
  const isWrong = (m, i, j) => Math.abs(said(m, i, j) - target(i, j)) > task().tolerance + 1e-6 * isClass();
  const outputs = () => Math.max(...data.models.map((_, m) => answers(m)?.outputs ?? 0));
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
    const { share, top } = orders[s.shuffle][m], { blocks, heads, prefix } = data.models[m];
    const T = N + prefix, from = s.cls && prefix ? 0 : prefix + s.j, block = Math.min(s.block, blocks) - 1;
    const which = s.head ? [Math.min(s.head, heads) - 1] : [...Array(heads).keys()];
    return Array.from({ length: T }, (_, t) => which.reduce((sum, h) => {
      const row = (block * heads + h) * T + from;
      return sum + (share[row * T + t] * top[row]) / 255;
    }, 0) / which.length);
  }
  const heat = (part) => {
    const from = 3 * between(0, Math.floor(part * 256), 255);
    return [heats[from], heats[from + 1], heats[from + 2]];
  };

  // -- the page -----------------------------------------------------------------------------------------------------
  const unique = `scores${Math.random().toString(36).slice(2)}`;
  function radios(title, choices, pick) {
    const set = element("fieldset", {}, element("legend", {}, title));
    for (const [value, text] of choices) {
      const input = element("input", { type: "radio", name: unique + title, value });
      input.addEventListener("change", () => pick(value));
      set.append(element("label", {}, input, text));
    }
    return set;
  }
  function control(tag, attributes, act, ...children) {
    const made = element(tag, attributes, ...children);
    made.addEventListener(tag === "button" ? "click" : "input", () => act(made));
    return made;
  }
  const most = (what) => Math.max(...data.models.map((one) => one[what]));
  const options = (count, text) => Array.from({ length: count }, (_, k) => element("option", { value: k }, text(k)));
  const tasks = radios("Task", Object.entries(data.tasks).map(([key, { title }]) => [key, title]), (key) =>
    change({ task: key, k: Math.min(s.k, data.tasks[key].names.length ? data.tasks[key].names.length - 1 : 0) }));
  const shows = radios("Maps", [["softmax", "softmax over K"], ["scores", "raw scores"]], (value) =>
    change({ softmax: value === "softmax" }));
  const block = control("select", { "aria-label": "block of the backbone" }, () => change({ block: Number(block.value) + 1 }),
    ...options(most("blocks"), (k) => `block ${k + 1}`));
  const head = control("select", { "aria-label": "head of the attention" }, () => change({ head: Number(head.value) }),
    ...options(most("heads") + 1, (k) => (k ? `head ${k}` : "mean of the heads")));
  const cls = control("select", { "aria-label": "the token that looks" }, () => change({ cls: cls.value === "cls" }),
    element("option", { value: "token" }, "from token j"), element("option", { value: "cls" }, "from CLS"));
  const seed = control("input", { type: "number", min: 0, max: last, "aria-label": "seed of the shuffle" }, () =>
    reorder(between(0, Math.round(Number(seed.value) || 0), last)));
  const undo = control("button", { type: "button" }, () => reorder(0), "Unshuffle");
  const shuffle = control("button", { type: "button" }, () => reorder((s.shuffle % last) + 1), "Shuffle");
  const back = control("input", { type: "checkbox", value: "back" }, () => change({ back: back.checked }));
  const range = { type: "range", min: 0, max: 1, step: 0.05, value: s.colour, "aria-label": "colours over the image" };
  const colour = control("input", range, () => change({ colour: Number(colour.value) }));
  const file = element("input", { type: "file", accept: "image/*", hidden: "" });
  file.addEventListener("change", () => file.files[0] && send(file.files[0]));
  const own = control("button", { type: "button" }, () => (noKernel() ? refuse("An image of your own") : file.click()),
    "Own image …");
  const attention = element("fieldset", {}, element("legend", {}, "Attention"), block, head, cls);

  function panel(kind, label) {
    const canvas = element("canvas", { tabindex: 0, role: "application", "aria-label": label });
    const caption = element("figcaption"), scale = element("div", { class: "scale" });
    return { kind, canvas, caption, scale, box: element("figure", { class: kind }, caption, canvas, scale), size: 0 };
  }
  const rows = data.models.map((one, m) => {
    const grid = `a grid of ${side} by ${side} patches. ${KEYS}`;
    const panels = [panel("answers", `What ${one.name} says about every patch, ${grid}`),
      panel("map", `The map of the chosen score, ${grid}`), panel("all", "All K scores. Arrow keys choose one."),
      panel("look", `Attention inside the backbone, ${grid}`)];
    const boxes = element("div", { class: "panels" }, ...panels.map((each) => each.box));
    const verdict = element("small"), title = element("h4", {}, one.name, verdict);
    return { m, panels, verdict, root: element("section", { "aria-label": one.name }, title, boxes) };
  });
  const words = element("div", { class: "said", role: "status", "aria-live": "polite" });
  const table = element("table"), pairs = element("div", { class: "pair" }, table), complaint = element("div", { class: "trouble", role: "alert" });
  const help = element("div", { class: "help" });
  const root = element("div", { class: "relvit-scores" },
    element("div", { class: "bar" }, tasks, shows),
    element("div", { class: "bar" }, ...(most("blocks") ? [attention] : []), shuffle, element("label", {}, "seed", seed),
      undo, element("label", {}, back, "patches put back"), element("label", {}, "image", colour, "colours"), own, file),
    complaint, words, pairs, ...rows.map((row) => row.root), help);
  for (const each of root.querySelectorAll("input, button, select, canvas")) each.dataset.lmSuppressShortcuts = "true"; // keys stay
  el.append(root);

  function build() {
    under.size = 0;
    for (const { panels } of rows)
      for (const each of panels) {
        each.box.hidden = each.kind === "all" && (isPlaces() || outputs() < 2 || outputs() > MANY * 2);
        each.size = Math.round(each.canvas.clientWidth * devicePixelRatio);
        if (each.size) each.canvas.width = each.canvas.height = each.size;
      }
    for (const [set, chosen] of [[tasks, s.task], [shows, s.softmax ? "softmax" : "scores"]])
      for (const input of set.querySelectorAll("input")) input.checked = input.value === chosen;
    shows.disabled = !isClass();
    [block.value, head.value, cls.value] = [s.block - 1, s.head, s.cls ? "cls" : "token"];
    if (document.activeElement !== seed || waiting === null) seed.value = waiting ?? s.shuffle;
    undo.disabled = !s.shuffle;
    back.checked = s.back;
    help.textContent = `${HELP} ${data.note}`;
    paint();
  }

  // -- drawing ------------------------------------------------------------------------------------------------------
  const place = (t, size) => {
    const [y, x] = [Math.floor(t / side), t % side];
    return [at(x, size, side), at(y, size, side), at(x + 1, size, side), at(y + 1, size, side)];
  };
  const under = { size: 0 };
  /** The picture under the colours: the more colour lies over it, the paler it is. */
  function picturesUnder(size) {
    if (under.size === size) return under;
    under.plain = layer(size, (ctx) => {
      ctx.imageSmoothingEnabled = false;
      for (let t = 0; t < N; t++) {
        const [x, y, right, bottom] = place(whereIs(t), size), from = patchAt(t), c = picture.width / side;
        ctx.drawImage(picture, (from % side) * c, Math.floor(from / side) * c, c, c, x, y, right - x, bottom - y);
      }
    });
    under.pale = layer(size, (ctx) => {
      ctx.filter = `saturate(${1 - s.colour})`;
      ctx.drawImage(under.plain, 0, 0);
      ctx.fillStyle = `rgba(255, 255, 255, ${s.colour / 2})`;
      ctx.fillRect(0, 0, size, size);
    });
    under.size = size;
    return under;
  }

  function paint() {
    if (!picture || gone) return;
    for (const row of rows) {
      const [says, map, all, looks] = row.panels, has = Boolean(answers(row.m));
      const { verdict, drift } = answers(row.m) ?? { verdict: "" };
      row.verdict.textContent = s.shuffle && has
        ? `${verdict}; against the unshuffled scores, moved with the patches: off by at most ${drift.toFixed(drift < 0.001 ? 5 : 2)}`
        : verdict;
      const found = has ? fields(row.m) : null, shown = found && (showsShares() ? found.share : found.raw);
      const every = shown?.flat(), high = every && Math.max(...every);
      const ends = showsShares() ? [0, isPlaces() ? high : 1] : every && [Math.min(...every), high];
      if (has) {
        paintAnswers(row.m, says);
        paintMap(row.m, map, shown, ends);
        if (!all.box.hidden) paintAll(all, shown, ends);
      } else for (const each of [says, map, all]) nothing(each, "Nothing to show", `it has no head for ${task().title}`);
      if (data.models[row.m].without) nothing(looks, "No attention maps", data.models[row.m].without);
      else paintLook(row.m, looks);
      const [a, b] = asked(), k = Math.min(s.k, has ? answers(row.m).outputs - 1 : 0);
      Object.assign(row.root.dataset, has ? { said: said(row.m, a, b), score: score(row.m, k, a, b),
        share: isPlaces() ? found.share[0][k] : found.share[k][a] } : { said: "", score: "", share: "" });
    }
    say();
    const { task: key, j, i, k, pinned, softmax: shares, shuffle: order, block: b, head: h } = s;
    Object.assign(root.dataset, { task: key, token: j, other: i, score: k, pinned, softmax: shares, shuffle: order,
      block: b, head: h, waiting: waiting ?? "", target: target(...asked()) });
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
    const { plain, pale } = picturesUnder(size);
    ctx.drawImage(pale, 0, 0);
    ctx.textAlign = "center";
    ctx.textBaseline = "middle";
    for (let t = 0; t < N; t++) {
      const [x, y, right, bottom] = place(own ? t : whereIs(t), size), shade = fill(t), sees = mark(t);
      if (!shade) {
        ctx.drawImage(plain, x, y, right - x, bottom - y, x, y, right - x, bottom - y);
        continue;
      }
      ctx.globalAlpha = Math.sqrt(s.colour);
      ctx.fillStyle = `rgb(${shade})`;
      ctx.fillRect(x, y, right - x, bottom - y);
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
    ctx.fillStyle = "#FFFFFFCC";
    for (let k = 1; k < side; k++) {
      ctx.fillRect(at(k, size, side), 0, ratio, size);
      ctx.fillRect(0, at(k, size, side), size, ratio);
    }
    for (const [q, thin, dashed] of frames) {
      const [x, y, right, bottom] = place(q, size), pad = thin * ratio;
      frame(ctx, x + pad, y + pad, right - x - 2 * pad, bottom - y - 2 * pad, pad, dashed);
    }
  }
  const pair = () => (s.i === s.j ? [[whereIs(s.j), 2.6, false]] : [[whereIs(s.i), 1.8, true], [whereIs(s.j), 2.6, false]]);

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
    const part = (v) => (v - low) / (high - low || 1), shares = showsShares();
    const text = (v) => (shares ? (v < 0.005 ? "0" : v.toFixed(2).replace(/^0/, "")) : number(v, Math.abs(v) < 9.95 ? 1 : 0));
    const frames = isPlaces() ? [[target(s.j, s.j), 2.2, true]] : pair();
    paintCells(each, (t) => (t < values.length ? heat(part(values[t])) : null), (t) => t < values.length && text(values[t]),
      frames, isPlaces());
    const what = shares ? "probability" : "score", from = task().pairs ? `seen from token ${s.j}` : `of each patch`;
    if (isPlaces())
      describe(each, `${shares ? "Softmax over" : "Raw"} ${values.length} scores`, `of token ${s.j}: where does it belong? Dashed: there.`,
        [short(low), short(high)]);
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
        const [x, y, right, bottom] = place(whereIs(t), length);
        ctx.fillStyle = `rgb(${heat((v - low) / (high - low || 1))})`;
        ctx.fillRect(left + x, top + y, right - x, bottom - y);
      });
      ctx.fillStyle = INK;
      ctx.font = `${k === s.k ? "bold " : ""}${word * 0.9}px system-ui,sans-serif`;
      ctx.fillText(task().names[k] || k, left + length / 2, top - 3 * ratio);
      if (k === s.k) frame(ctx, left, top, length, length, 2 * ratio);
      const q = whereIs(s.j);
      ctx.strokeStyle = "#FFFFFF";
      ctx.lineWidth = ratio;
      ctx.strokeRect(left + (q % side) * c, top + Math.floor(q / side) * c, c, c);
    });
    describe(each, `All ${shown.length} ${showsShares() ? "probabilities" : "scores"}`, "click one, or arrow keys", "the same colours");
  }

  function paintLook(m, each) {
    const { blocks, heads, prefix } = data.models[m], values = look(m), most = Math.max(...values.slice(prefix));
    const text = (t) => String(Math.round(100 * values[prefix + t]));
    paintCells(each, (t) => heat(values[prefix + t] / most), text, pair());
    const rest = values.slice(0, prefix).reduce((a, b) => a + b, 0);
    const which = s.head ? `head ${Math.min(s.head, heads)} of ${heads}` : `mean of ${heads} heads`;
    describe(each, `Attention, block ${Math.min(s.block, blocks)} of ${blocks}`,
      `in %, ${which}, from ${s.cls && prefix ? "CLS" : `token ${s.j}`}${prefix ? `; ${percent(rest)} to CLS` : ""}`,
      ["0 %", percent(most)]);
    rows[m].root.dataset.look = values[prefix + s.i];
  }

  /** The pair in words, and its K scores in a table. */
  function say() {
    const { i, j } = s, here = (t) => `patch ${patchAt(t)}${s.shuffle ? ` (now at place ${t})` : ""}`;
    const [a, b] = asked();
    const about = task().pairs ? `i = ${here(i)}, seen from j = ${here(j)}` : `j = ${here(j)}`;
    const numbered = (m) => (rows.length > 1 ? ["The first model", "the second"][m] : "The model");
    const verdicts = rows.filter(({ m }) => answers(m)).map(({ m }) =>
      `${numbered(m)} says ${name(said(m, a, b))}${isWrong(m, a, b) ? ": a mistake" : ", right"}`);
    const text = `${about}. True: ${name(target(a, b))}. ${verdicts.join("; ")}.${s.pinned ? " Token j is pinned." : ""}`;
    if (words.textContent !== text) words.textContent = text;
    const note = trouble || model.get("trouble") || (waiting === null ? "" : `Asking the kernel for shuffle ${waiting} …`);
    if (complaint.textContent !== note) complaint.textContent = note;
    table.replaceChildren();
    if (!isClass()) return;
    const raws = rows.map(({ m }) => answers(m) && Array.from({ length: answers(m).outputs }, (_, k) => score(m, k, a, b)));
    const K = outputs();
    let ks = [...Array(K).keys()];
    if (K > MANY) { // the five largest of each, and the true one
      const largest = (raw) => (raw ? [...raw.keys()].sort((x, y) => raw[y] - raw[x]).slice(0, 5) : []);
      const some = new Set([target(a, b), ...raws.flatMap(largest)]);
      ks = ks.filter((k) => some.has(k));
    }
    const cell = (tag, value, k, style = "") => element(tag, { style, class: k === s.k && !isPlaces() ? "chosen" : "" }, value);
    table.append(element("tr", {}, element("th", {}, K > MANY ? `the largest of ${K}` : `the ${K} scores`),
      ...ks.map((k) => cell("th", `${name(k)}${k === target(a, b) ? " ✓" : ""}`, k))));
    raws.forEach((raw, m) => {
      if (!raw) return;
      const shares = softmax(raw), of = rows.length > 1 ? ` (${m + 1})` : "";
      const bar = (v) => `background: linear-gradient(to top, #56B4E9 ${100 * v}%, #F2F2F2 ${100 * v}%)`;
      table.append(element("tr", {}, element("td", {}, `score${of}`), ...ks.map((k) => cell("td", short(raw[k]), k))),
        element("tr", {}, element("td", {}, `softmax${of}`), ...ks.map((k) => cell("td", shares[k].toFixed(3), k, bar(shares[k])))));
    });
  }

  // -- what moves it ------------------------------------------------------------------------------------------------
  const noKernel = () => Boolean(model.get("_no_kernel"));
  function refuse(what) {
    trouble = `${what} needs a running kernel; this page carries the shuffles ${Object.keys(orders).join(", ")}.`;
    waiting = null;
    build();
  }
  function change(news) {
    Object.assign(s, news);
    trouble = "";
    build();
    tell();
  }
  function tell() {
    const { task: key, j, k, softmax: shares, block: b, head: h, cls: c, back: r } = s;
    model.set({ task: key, token: j, score: k, softmax: shares, block: b, head: h, cls: c, back: r,
      shuffle: waiting ?? s.shuffle });
    model.save_changes();
  }
  /** The patches in another order; the chosen patches stay chosen. */
  function reorder(order) {
    const patches = [patchAt(s.i), patchAt(s.j)];
    if (orders[order]) {
      waiting = null;
      s.shuffle = order;
      [s.i, s.j] = patches.map(tokenOf);
      return change({});
    }
    if (noKernel()) return refuse(`Shuffle ${order}`);
    waiting = order;
    change({});
    setTimeout(() => waiting === order && !gone && refuse(`Shuffle ${order}`), PATIENCE);
  }
  async function send(chosen) {
    try {
      const bitmap = await createImageBitmap(chosen), less = Math.min(1, LARGEST / Math.min(bitmap.width, bitmap.height));
      const canvas = element("canvas", { width: Math.round(bitmap.width * less), height: Math.round(bitmap.height * less) });
      canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
      model.set("upload", canvas.toDataURL("image/png"));
      model.save_changes();
    } catch {
      trouble = `${chosen.name} is no image that can be read.`;
      build();
    }
    file.value = "";
  }
  function move(news) {
    if (Object.entries(news).every(([key, value]) => s[key] === value)) return;
    Object.assign(s, news);
    paint();
  }
  for (const { panels } of rows)
    for (const each of panels) {
      const isAll = each.kind === "all", clip = (v) => between(0, Math.floor(v), side - 1);
      const under = ({ offsetX, offsetY }) => {
        const [y, x] = [offsetY, offsetX].map((v) => (v * devicePixelRatio) / each.size);
        if (!isAll) return tokenAt(clip(y * side) * side + clip(x * side));
        const high = Math.ceil(outputs() / columns());
        return between(0, Math.floor(y * high) * columns() + Math.floor(x * columns()), outputs() - 1);
      };
      each.canvas.addEventListener("pointermove", (event) => {
        if (!isAll) move({ [s.pinned ? "i" : "j"]: under(event) });
      });
      each.canvas.addEventListener("click", (event) => {
        const hit = under(event);
        each.canvas.focus({ preventScroll: true });
        if (isAll) return change({ k: hit });
        s.pinned = !(s.pinned && s.j === hit);
        s.j = hit;
        paint();
        tell();
      });
      each.canvas.addEventListener("keydown", (event) => {
        const { key, shiftKey, ctrlKey } = event, which = s.pinned !== shiftKey ? "i" : "j";
        if (event.altKey || event.metaKey) return;
        if (isAll) {
          const next = key in STEPS ? s.k + STEPS[key][0] * columns() + STEPS[key][1]
            : { Home: 0, End: outputs() - 1 }[key];
          if (next === undefined) return;
          if (next >= 0 && next < outputs()) change({ k: next });
        } else {
          const now = whereIs(s[which]);
          let [y, x] = [Math.floor(now / side), now % side];
          if (key in STEPS) [y, x] = [clip(y + STEPS[key][0]), clip(x + STEPS[key][1])];
          else if (key === "Home") [y, x] = [ctrlKey ? 0 : y, 0];
          else if (key === "End") [y, x] = [ctrlKey ? side - 1 : y, side - 1];
          else if (key === "PageUp") y = 0;
          else if (key === "PageDown") y = side - 1;
          else if (key === "Enter" || key === " ") s.pinned = !s.pinned;
          else if (key === "Escape") s.pinned = false;
          else return;
          if (["Enter", " ", "Escape"].includes(key)) paint(), tell();
          else move({ [which]: tokenAt(y * side + x) });
        }
        event.preventDefault();
        event.stopPropagation();
      });
    }

  /** What Python has set. */
  function follow() {
    const news = { task: model.get("task"), j: model.get("token"), k: model.get("score"), softmax: model.get("softmax"),
      block: model.get("block"), head: model.get("head"), cls: model.get("cls"), back: model.get("back") };
    const order = model.get("shuffle"), changed = Object.entries(news).some(([key, value]) => s[key] !== value);
    Object.assign(s, news);
    if (orders[order]) s.shuffle = order;
    if (changed || orders[order]) build();
  }
  function arrive() {
    takeExtra();
    if (waiting !== null && orders[waiting]) reorder(waiting);
    else if (waiting === null) follow();
  }
  async function load() {
    picture = await createImageBitmap(new Blob([data.png], { type: "image/png" }));
    build();
  }
  function renew() {
    take();
    if (!orders[s.shuffle]) s.shuffle = 0;
    load();
  }
  follow();
  const fit = () => rows[0].panels.some((each) =>
    Math.round(each.canvas.clientWidth * devicePixelRatio) !== each.size) && build();
  const heard = { "change:extra": arrive, "change:data": renew, "change:trouble": () => build() };
  for (const key of ["task", "token", "score", "softmax", "shuffle", "block", "head", "cls", "back"])
    heard[`change:${key}`] = () => waiting === null && follow();
  for (const [event, act] of Object.entries(heard)) model.on(event, act);
  const watcher = new ResizeObserver(fit);
  window.addEventListener("resize", fit); // a zoom or another screen, too: more pixels in the same space
  load().then(() => rows.forEach(({ panels }) => panels.forEach((each) => watcher.observe(each.canvas))));
  return () => {
    gone = true;
    watcher.disconnect();
    window.removeEventListener("resize", fit);
    for (const [event, act] of Object.entries(heard)) model.off(event, act);
  };
}
export default { render };
