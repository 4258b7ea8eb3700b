// The relations explorer. All data is here already: hovering asks nothing of the kernel.
// i and j are places of the grid; place t holds patch p[t]; [i, j] says where i lies seen from the anchor j.
// canvas.js and explorer_grid.js come before it in one module. What stands still (the image, the
// matrices) is drawn once into layers; a hover lays them down and draws on top.
const RIGHT = "#0072B2";
const HELP = TOUCH ? `The first tap chooses the anchor j (solid frame), the second i (dashed), the third j again. A tap on
a cell of a matrix lights its two patches.` : `Hover or arrow keys: the anchor j (solid frame) moves. Click or Enter pins it, then i (dashed) moves; with
Shift, the arrow keys move i at any time; Escape lets go. A cell of a matrix lights its two patches.`;
const NUMBERS = { uint8: Uint8Array, uint16: Uint16Array, float32: Float32Array };

const EDGED = 5; // pixels of a cell from which on it has edges
const NAMED = 34; // the same, as CSS counts them, for names
const rimOf = (colour) => colour.map((v) => Math.round(Math.max(...colour) < 100 ? v + (255 - v) * 0.6 : v * 0.5));
const pale = (colour) => colour.map((v) => Math.round(255 - (255 - v) * 0.45));

function unpack(raw) {
  const tasks = {};
  for (const [name, task] of Object.entries(raw.tasks)) {
    const numbers = (view) => view && new NUMBERS[task.number](copy(view));
    tasks[name] = { ...task, target: numbers(task.target), said: numbers(task.said), colours: task.colours.map(rgb) };
  }
  const [p, heat] = [raw.permutations, raw.heat].map((view) => new Uint8Array(copy(view)));
  return { ...raw, tasks, p, heat };
}

function render({ model, el }) {
  const data = unpack(model.get("data")), side = data.side, N = side * side, last = data.p.length / N - 1;
  const trained = Object.values(data.tasks).some((task) => task.said);
  const s = { task: model.get("task"), j: 0, i: 0, pinned: false, shuffle: 0, model: false, colour: 0.7 };
  const page = model.get("_in_page"); // of pages alone
  let picture = null, ask = () => {}; // of a chosen image: has the model say what it does about an order

  // -- what is true, and what the model says ------------------------------------------------------------------------
  const task = () => data.tasks[s.task];
  const ofPlaces = () => !task().pairs; // an answer for each place, not for each pair
  const isKind = (kind) => task().kind === kind;
  const isClass = () => !isKind("values");
  const columns = () => (task().pairs ? N : Math.max(1, task().names.length)); // of the matrix: j, or a class each
  const patchAt = (t) => data.p[s.shuffle * N + t];
  const target = (i, j) => task().target[ofPlaces() ? patchAt(i) : patchAt(i) * N + patchAt(j)];
  const said = (i, j) => task().said[ofPlaces() ? s.shuffle * N + i : (s.shuffle * N + i) * N + j];
  const isWrong = (i, j) => Math.abs(said(i, j) - target(i, j)) > task().tolerance;
  const showsModel = () => s.model && Boolean(task().said);
  const lit = () => [ofPlaces() ? s.j : s.i, s.j]; // the pair, or twice the place, that is lit
  const litCell = () => [lit()[0], !ofPlaces() ? s.j : isClass() ? target(s.j) : 0]; // its row and column of the matrix
  const heat = (value) => inScale(data.heat, (value - task().low) / (task().high - task().low));
  const colourOf = (value) => (isClass() ? task().colours[value] : heat(value));
  const fillOf = (value, wrong) => (isKind("places") ? rgb(wrong ? WRONG : PLAIN) : colourOf(value)); // of a patch

  // -- the page -----------------------------------------------------------------------------------------------------
  const unique = `relations${Math.random().toString(36).slice(2)}`;
  function panel(label) {
    const canvas = element("canvas", { tabindex: 0, role: "application", "aria-label": `${label} ${KEYS}` });
    const caption = element("figcaption");
    return { canvas, caption, box: element("figure", {}, caption, canvas), size: 0, layer: null };
  }
  const image = panel(`The image with its grid of ${side} by ${side} patches.`);
  const truth = panel(`The matrix of targets, ${N} by ${N}.`);
  const guess = panel(`The matrix of the model's answers, ${N} by ${N}.`);
  const matrices = trained ? [truth, guess] : [truth], panels = [image, ...matrices];
  const choices = Object.entries(data.tasks).map(([name, { title }]) => [name, title]);
  const tasks = radios("Show", `${unique}task`, choices, (name) => change({ task: name }), s.task);
  const asks = radios("in the image", `${unique}asks`, [["", "what is true"], ["model", "what the model says"]], (value) =>
    change({ model: value === "model" }), "");
  const seed = control("input", { type: "number", min: 0, max: last, "aria-label": "seed of the shuffle" }, () =>
    change({ shuffle: between(0, Math.round(Number(seed.value) || 0), last) }));
  const back = button("Unshuffle", () => change({ shuffle: 0 }));
  const shuffle = button("Shuffle", () => change({ shuffle: (s.shuffle % last) + 1 }));
  const range = { type: "range", min: 0, max: 1, step: 0.05, value: s.colour, "aria-label": "colours over the image" };
  const colour = control("input", range, () => change({ colour: Number(colour.value) }));
  const bar = element("div", { class: "bar" }, tasks, ...(trained ? [asks] : []), shuffle,
    element("label", {}, "seed", seed), back, element("label", {}, "image", colour, "colours"));
  const legend = element("canvas", { role: "img" });
  const words = element("div", { class: "said", role: "status", "aria-live": "polite" });
  const trouble = element("div", { class: "trouble", role: "alert" });
  const help = element("div", { class: "help" }, `${HELP} ${data.note}`);
  const root = element("div", { class: "relvit-relations relvit-controls" }, bar,
    element("div", { class: "panels" }, ...panels.map((each) => each.box)),
    element("div", { class: "below" }, legend, words), trouble, help);
  for (const each of root.querySelectorAll("input, button, canvas")) each.dataset.lmSuppressShortcuts = "true"; // keys stay
  el.append(root);

  // -- layers: drawn once for a task, a shuffle and a size ------------------------------------------------------------
  /**
   * One block of k x k pixels a cell, scaled to the size; mistakes are pale, and crossed where there is room. Relations
   * have edges on the side that they name, for those who do not tell all nine colours apart; large cells their name.
   */
  const matrixLayer = (size, predicted) => layer(size, (ctx) => {
    const k = Math.max(3, Math.floor(size / N)), C = columns(), width = C * k, pixels = new ImageData(width, N * k);
    const numbers = new Uint32Array(pixels.data.buffer), edge = Math.round(k * 0.22);
    const packed = ([r, g, b]) => ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0, white = packed([255, 255, 255]);
    const inCross = (a, b) => Math.min(a, b) >= edge && Math.max(a, b) < k - edge &&
      (Math.abs(a - b) <= k / 14 || Math.abs(a + b - k + 1) <= k / 14);
    const kinds = Array.from({ length: k * k }, (_, n) => { // of a cell's pixels: 0 body, 1 line, 2 cross
      const a = n % k, b = Math.floor(n / k);
      return k >= 8 && Math.max(a, b) === k - 1 ? 1 : k >= 7 && inCross(a, b) ? 2 : 0;
    });
    const sided = isKind("relations") && k >= EDGED, thick = Math.max(1, Math.floor(k / 9)), last = k >= 8 ? k - 1 : k;
    const onSide = (at, to) => (to < 0 ? at < thick : to > 0 && at >= last - thick && at < last);
    const edges = task().names.map((_, relation) => kinds.map((kind, n) => sided && kind === 0 &&
      (onSide(n % k, (relation % 3) - 1) || onSide(Math.floor(n / k), Math.floor(relation / 3) - 1))));
    for (let i = 0; i < N; i++)
      for (let j = 0; j < C; j++) {
        const value = predicted ? said(i, j) : target(i, j), wrong = predicted && isWrong(i, j);
        const hit = !ofPlaces() || C === 1 || value === j; // of a place's classes, one
        const fill = !hit ? rgb(PLAIN) : isKind("places") ? rgb(wrong ? WRONG : RIGHT) : colourOf(value);
        const shade = hit && wrong && !isKind("places") ? pale(fill) : fill, body = packed(shade);
        const ink = hit && wrong ? packed(rgb(INK)) : body, rim = sided && packed(rimOf(shade));
        for (let n = 0; n < k * k; n++)
          numbers[(i * k + Math.floor(n / k)) * width + j * k + (n % k)] =
            sided && edges[value][n] ? rim : [body, white, ink][kinds[n]];
      }
    ctx.imageSmoothingEnabled = N * k > size;
    ctx.drawImage(layer(N * k, (small) => small.putImageData(pixels, 0, 0)), 0, 0, width, N * k, 0, 0, size, size);
    if (!sided || size / N < NAMED * devicePixelRatio) return;
    ctx.font = `${(size / N) * 0.36}px system-ui,sans-serif`;
    [ctx.textAlign, ctx.textBaseline] = ["center", "middle"];
    for (let at = 0; at < N * N; at++) {
      const [i, j] = [Math.floor(at / N), at % N], value = predicted ? said(i, j) : target(i, j);
      if (predicted && isWrong(i, j)) continue; // a cross stands there
      ctx.fillStyle = inkOn(colourOf(value));
      ctx.fillText(task().names[value], ((j + 0.5) * size) / N, ((i + 0.5) * size) / N);
    }
  });

  function build() {
    if (!picture || !image.canvas.clientWidth) return void (image.size = 0); // not yet, or hidden
    ask(s.shuffle);
    for (const each of panels) {
      const size = Math.max(1, Math.round(each.canvas.clientWidth * devicePixelRatio));
      each.canvas.width = each.canvas.height = each.size = size;
      if (each !== image) each.layer = each === truth || task().said ? matrixLayer(size, each === guess) : null;
    }
    // below 100 pixels, the pixels themselves are to be seen
    const seen = underlay(picture, side, image.size, s.colour, patchAt, (t) => t, picture.width >= 100);
    [image.layer, image.under] = [seen.plain, seen.pale];
    const say = (each, title, text) => each.caption.replaceChildren(element("b", {}, title), text);
    say(image, showsModel() ? "The image: what the model says" : "The image",
      s.shuffle ? `shuffle ${s.shuffle}: place t holds patch p[t]` : "every patch in its own place");
    const axes = !ofPlaces() ? "row i, column j" : isClass() ? "row: place, column: class" : "row: place";
    say(truth, `${task().title} targets, ${N} x ${columns()}`, `${axes}: ${task().asks}`);
    if (!task().said) say(guess, "The model's answers", `it has no head for ${task().title}`);
    else say(guess, "The model's answers", `${task().verdicts[s.shuffle]}. Mistakes: ${isKind("places") ? "orange" : "pale"}`);
    seed.value = s.shuffle;
    back.disabled = !s.shuffle;
    for (const input of tasks.querySelectorAll("input")) input.checked = input.value === s.task;
    paint();
  }

  // -- what a hover draws -------------------------------------------------------------------------------------------
  function paint() {
    if (!image.layer) return;
    paintImage(image.canvas.getContext("2d"), image.size, devicePixelRatio);
    for (const each of matrices) if (each.layer) paintMatrix(each, devicePixelRatio);
    paintLegend(devicePixelRatio);
    const text = sentence();
    if (words.textContent !== text) words.textContent = text;
    const { task: name, j: anchor, i: other, shuffle, pinned } = s;
    const value = target(...lit()), answer = task().said ? said(...lit()) : "";
    Object.assign(root.dataset, { task: name, anchor, other, shuffle, pinned, value, answer });
  }

  function paintImage(ctx, size, ratio) {
    const c = size / side, readable = c / ratio >= 28 || isKind("places"), arrows = isKind("relations");
    ctx.drawImage(image.under, 0, 0);
    ctx.font = `${Math.min(c * 0.36, 15 * ratio)}px system-ui,sans-serif`;
    ctx.textAlign = "center";
    ctx.textBaseline = "middle";
    ctx.lineWidth = 2.5 * ratio;
    for (let t = 0; t < N; t++) {
      const [x, y, w, h] = cell(t, size, side);
      const cross = showsModel() && isWrong(t, s.j), value = showsModel() ? said(t, s.j) : target(t, s.j);
      if (t === s.j) ctx.drawImage(image.layer, x, y, w, h, x, y, w, h); // the anchor: as it is
      const fill = fillOf(value, cross), bare = t === s.j || s.colour < 0.3;
      const ink = bare ? "#FFFFFF" : inkOn(fill);
      ctx.globalAlpha = t === s.j ? 0 : isClass() ? s.colour : Math.sqrt(s.colour); // near the colour bar
      ctx.fillStyle = `rgb(${fill})`;
      ctx.fillRect(x, y, w, h);
      ctx.globalAlpha = 1;
      if (arrows ? t !== s.j : cross && !isKind("places")) sign(ctx, x, y, c, value, cross, ink);
      else if (readable && !arrows) {
        const text = isClass() ? task().marks[value] : value.toFixed(c / ratio >= 42 ? 2 : 1).replace("-0.0", "0.0");
        ctx.strokeStyle = ink === "#FFFFFF" ? "#000B" : "#FFFC";
        ctx.fillStyle = ink;
        if (bare || s.colour < 1) ctx.strokeText(text, x + c / 2, y + c / 2);
        ctx.fillText(text, x + c / 2, y + c / 2);
      }
    }
    gridLines(ctx, size, side, ratio, "#FFFFFFCC");
    const other = isKind("places") ? patchAt(s.j) : ofPlaces() ? s.j : s.i;
    for (const [t, thin, dashed] of [[other, 1.8, true], [s.j, 2.6, false]]) {
      const [x, y, w, h] = cell(t, size, side), pad = thin * ratio;
      if (dashed && t === s.j) continue;
      frame(ctx, x + pad, y + pad, w - 2 * pad, h - 2 * pad, pad, dashed);
      if (c / ratio < 44 || !task().pairs) continue;
      ctx.font = `italic bold ${16 * ratio}px serif`;
      ctx.lineWidth = 4 * ratio;
      for (const [draw, ink] of [["strokeText", "#FFFFFF"], ["fillText", INK]]) {
        ctx.strokeStyle = ctx.fillStyle = ink;
        ctx[draw](dashed ? "i" : "j", x + 13 * ratio, y + 14 * ratio);
      }
    }
  }

  function paintMatrix(each, ratio) {
    const ctx = each.canvas.getContext("2d"), size = each.size, [row, column] = litCell();
    const [x, y] = [at(column, size, columns()), at(row, size, N)];
    const [w, h] = [at(column + 1, size, columns()) - x, at(row + 1, size, N) - y];
    ctx.drawImage(each.layer, 0, 0);
    ctx.fillStyle = "#FFFFFF55"; // a veil, but over the row and the column
    for (const [left, right] of [[0, x], [x + w, size]])
      for (const [top, bottom] of [[0, y], [y + h, size]]) ctx.fillRect(left, top, right - left, bottom - top);
    const out = ratio, wide = Math.max(0, 6 * ratio - w) / 2 + out;
    frame(ctx, x - out, -9, w + 2 * out, size + 18, ratio);
    frame(ctx, -9, y - out, size + 18, h + 2 * out, ratio);
    ctx.drawImage(each.layer, x, 0, w, size, x, 0, w, size);
    ctx.drawImage(each.layer, 0, y, size, h, 0, y, size, h);
    frame(ctx, x - wide, y - wide, w + 2 * wide, h + 2 * wide, 2 * ratio);
  }

  /** Eq. 5's nine classes in their places; other classes with their names; a colour bar for values, or for many. */
  function paintLegend(ratio) {
    const { names, marks, colours, low, high } = task(), value = target(...lit());
    const swatches = isKind("classes") && names.length <= 24, named = names.map((name, k) => `${k} ${name}`.trim());
    const wide = Math.max(54, ...named.map((name) => 34 + 7 * name.length)), across = Math.max(1, Math.floor(420 / wide));
    const [w, h] = isKind("relations") ? [150, 96] : isKind("places") ? [290, 40] : !swatches ? [280, 52]
      : [Math.min(across, names.length) * wide, Math.ceil(names.length / across) * 24];
    const ctx = legend.getContext("2d");
    if (legend.width !== w * ratio || legend.height !== h * ratio) {
      Object.assign(legend, { width: w * ratio, height: h * ratio });
      Object.assign(legend.style, { width: `${w}px`, height: `${h}px` });
    }
    ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
    ctx.clearRect(0, 0, w, h);
    ctx.font = "12px system-ui,sans-serif";
    ctx.textBaseline = "middle";
    ctx.textAlign = "left";
    ctx.fillStyle = getComputedStyle(legend).color || INK; // of the page, which may be dark
    let label = `The ${named.length} classes and their colours: ${named.join(", ")}`;
    if (isKind("relations")) {
      names.forEach((name, k) => {
        const x = (k % 3) * 50, y = Math.floor(k / 3) * 32;
        ctx.fillStyle = `rgb(${colours[k]})`;
        ctx.fillRect(x + 1, y + 1, 48, 30);
        sign(ctx, x + 2, y + 3, 26, k, false, inkOn(colours[k]));
        ctx.fillStyle = inkOn(colours[k]);
        ctx.fillText(name, x + 29, y + 17);
      });
      frame(ctx, (value % 3) * 50 + 2, Math.floor(value / 3) * 32 + 2, 46, 28, 2);
    } else if (isKind("places")) {
      label = "The number is the patch's own place; a dashed frame shows that place.";
      ctx.fillText("Number: the place where the patch belongs.", 0, 11);
      ctx.fillText("Dashed frame: that place.", 0, 29);
    } else if (swatches) {
      names.forEach((name, k) => {
        const x = (k % across) * wide, y = Math.floor(k / across) * 24;
        ctx.fillStyle = `rgb(${colours[k]})`;
        ctx.fillRect(x + 2, y + 3, 24, 18);
        ctx.fillStyle = inkOn(colours[k]);
        ctx.textAlign = "center";
        if (marks[k].length <= 3) ctx.fillText(marks[k], x + 14, y + 12.5);
        ctx.textAlign = "left";
        ctx.fillStyle = getComputedStyle(legend).color || INK;
        ctx.fillText(marks[k] === name ? "" : name, x + 31, y + 12.5);
        if (k === value) frame(ctx, x + 2, y + 3, 24, 18, 1.6);
      });
    } else {
      const shown = (v) => Number(v.toPrecision(3)), x = (v) => 12 + ((v - low) / (high - low)) * 256;
      label = `Colour bar from ${shown(low)} to ${shown(high)}; the value is ${value.toFixed(isClass() ? 0 : 2)}`;
      ctx.textAlign = "center";
      for (const tick of [low, (low + high) / 2, high]) ctx.fillText(shown(tick), x(tick), 42);
      ctx.beginPath(); // a pointer at the value
      for (const [a, b] of [[-6, 2], [6, 2], [0, 13]]) ctx.lineTo(x(value) + a, b);
      ctx.fill();
      for (let k = 0; k < 256; k++) {
        ctx.fillStyle = `rgb(${heat(low + (k / 256) * (high - low))})`;
        ctx.fillRect(12 + k, 14, 1.5, 18);
      }
    }
    legend.setAttribute("aria-label", label);
  }

  /** The pair, or the patch, in words: the task's sentence filled in. */
  function sentence() {
    const { i, j } = s, { names, words, low, high, most, digits, sentence: form } = task();
    const value = target(...lit()), own = patchAt(j);
    const patch = (t) => `patch ${patchAt(t)}${s.shuffle ? ` (now at place ${t})` : ""}`;
    const named = (v) => (names[v] ? ` (${names[v]})` : ""), number = (v) => (isClass() ? v : v.toFixed(2));
    const fill = {
      i: patch(i), j: patch(j), value: number(value), name: named(value), word: words[value], low: low.toFixed(2),
      high: high.toFixed(2), much: (((value - low) / (high - low)) * most).toFixed(digits), most: most.toFixed(digits),
      place: j, own, row: Math.floor(own / side), column: own % side, last: N - 1,
    };
    const text = isKind("relations") && i === j ? `${patch(j)} seen from itself: class ${value}${named(value)}.`
      : form.replace(/\{(\w+)\}/g, (_, key) => fill[key]);
    let answer = "";
    if (task().said) {
      const says = said(...lit()), wrong = isWrong(...lit());
      answer = isClass() && !wrong ? " The model says so too."
        : ` The model says ${isClass() ? `class ${says}${named(says)}` : number(says)}${wrong ? ": a mistake" : ""}.`;
    }
    return text[0].toUpperCase() + text.slice(1) + answer + (s.pinned ? " The anchor is pinned." : "");
  }

  // -- what moves it ------------------------------------------------------------------------------------------------
  function change(news) { // with new layers
    Object.assign(s, news);
    build();
    tell();
  }
  function tell() {
    model.set({ task: s.task, anchor: s.j, shuffle: s.shuffle });
    model.save_changes();
  }
  function move(news) {
    if (Object.entries(news).every(([name, value]) => s[name] === value)) return;
    Object.assign(s, news);
    paint();
  }
  /** The lit pair after going to row y, column x: in the image the patch `name` moves there, in a matrix the cell. */
  function go(each, y, x, name) {
    if (each === image) move({ [name]: y * side + x });
    else move(ofPlaces() ? { j: y } : { i: y, j: x });
  }
  for (const each of panels) {
    const counts = () => (each === image ? [side, side] : [N, columns()]); // rows and columns
    const clip = (v, k) => between(0, Math.floor(v), counts()[k] - 1);
    const under = ({ offsetX, offsetY }) =>
      [offsetY, offsetX].map((v, k) => clip((v * counts()[k] * devicePixelRatio) / each.size, k));
    each.canvas.addEventListener("pointermove", (event) => {
      if (!(s.pinned && ofPlaces())) go(each, ...under(event), s.pinned ? "i" : "j");
    });
    each.canvas.addEventListener("click", (event) => {
      const [y, x] = under(event), again = each === image && s.pinned && s.j === y * side + x;
      const second = event.pointerType === "touch" && each === image && s.pinned && !ofPlaces();
      each.canvas.focus({ preventScroll: true });
      s.pinned = !again && !second;
      go(each, y, x, second ? "i" : "j");
      paint();
      tell();
    });
    each.canvas.addEventListener("keydown", (event) => {
      const name = s.pinned !== event.shiftKey && !ofPlaces() ? "i" : "j";
      if (event.altKey || event.metaKey) return;
      const from = each === image ? [Math.floor(s[name] / side), s[name] % side] : litCell();
      const to = led(event, from, counts());
      if (to) go(each, ...to, name);
      else if (pins(event, s)) paint(), tell();
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
  }

  // -- on a page: another image -------------------------------------------------------------------------------------
  const carried = Object.fromEntries(Object.entries(data.tasks).map(([name, task]) => [name, { ...task }]));
  function show(planes, given) {
    for (const [name, { said, verdicts }] of Object.entries(carried)) // the explorer's own, or room for other answers
      Object.assign(data.tasks[name], { said: said && given ? said.slice() : said, verdicts: [...verdicts] });
    ask = given && trained ? asking(planes) : () => {};
    picture = page.asCanvas(planes);
    trouble.textContent = "";
    help.textContent = `${HELP} ${given ? `${given.name}: its middle.` : data.note}`;
    root.dataset.image = given ? given.name : "";
    build();
  }
  /** A function that has the model answer about the image in an order of its patches, once each. */
  function asking(planes) {
    const done = new Set();
    return (order) => {
      if (done.has(order)) return;
      done.add(order);
      const { answers } = answersHere(page, 0, planes, data.p.subarray(order * N, (order + 1) * N), data.tasks);
      for (const [name, one] of Object.entries(answers)) {
        if (!data.tasks[name].said) continue;
        data.tasks[name].said.set(one.said, order * one.said.length);
        data.tasks[name].verdicts[order] = one.verdict;
      }
    };
  }

  function follow() { // what Python has set
    const news = { task: model.get("task"), j: model.get("anchor"), shuffle: model.get("shuffle") };
    if (Object.entries(news).some(([name, value]) => s[name] !== value)) Object.assign(s, news), build();
  }
  follow();
  const traits = "change:task change:anchor change:shuffle";
  let rest = () => {};
  model.on(traits, follow);
  decoded(data.png).then((bitmap) => {
    picture = bitmap;
    const others = otherImages(page, { png: data.png, size: bitmap.width, use: show, within: root,
      complain: (text) => (trouble.textContent = text) });
    if (others) bar.after(others.root);
    rest = onResize(panels, build);
  });
  return () => {
    rest();
    model.off(traits, follow);
  };
}
export default { render };
