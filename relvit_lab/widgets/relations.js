// The relations explorer. All data is here already: hovering asks nothing of the kernel.
// i and j are places of the grid; place t holds patch p[t]; [i, j] says where i lies seen from the anchor j.
// What stands still (the image, the matrices) is drawn once into layers; a hover lays them down and draws on top.
const INK = "#222222", FAINT = "#8A8A8A", RIGHT = "#0072B2", WRONG = "#D55E00", PLAIN = "#EEEEEE";
const CSS = `
.rr { background:#fff; color:${INK}; font:14px/1.4 system-ui,sans-serif; padding:8px; max-width:1560px; box-sizing:border-box }
.rr .bar { display:flex; flex-wrap:wrap; gap:4px 18px; align-items:center; margin-bottom:6px }
.rr fieldset { border:0; margin:0; padding:0; display:flex; gap:10px; align-items:center }
.rr legend { float:left; padding:0; margin-right:8px; font-weight:600 }
.rr label { display:inline-flex; gap:4px; align-items:center; cursor:pointer }
.rr button { font:inherit; padding:2px 10px; cursor:pointer }
.rr input[type=number] { font:inherit; width:3.2em }
.rr .panels { display:flex; flex-wrap:wrap; gap:12px }
.rr figure { flex:1 1 250px; min-width:0; max-width:500px; margin:0 }
.rr figcaption { font-size:13px; min-height:2.8em }
.rr figcaption b { display:block; font-size:14px }
.rr canvas { display:block; touch-action:none }
.rr figure canvas { width:100%; aspect-ratio:1; cursor:crosshair }
.rr .below { display:flex; flex-wrap:wrap; gap:6px 20px; margin-top:8px; align-items:center }
.rr .said { flex:1 1 300px; font-size:16px; min-height:3em }
.rr .help { color:#555; font-size:12.5px; margin-top:4px }
.rr :focus-visible { outline:3px solid ${WRONG}; outline-offset:2px }`;
const EMPTY = "The patches are in their own places.";

const copy = (view) => view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength);

function unpack(raw) {
  const bytes = (view) => new Uint8Array(copy(view));
  const numbers = (name, view) =>
    view && (name === "dist" || name === "ang" ? new Float32Array(copy(view)) : bytes(view));
  const tasks = Object.fromEntries(
    Object.entries(raw.tasks).map(([name, task]) => [
      name,
      { ...task, target: numbers(name, task.target), said: numbers(name, task.said) },
    ]),
  );
  return { ...raw, tasks, p: bytes(raw.permutations), heat: bytes(raw.heat), png: bytes(raw.png) };
}

const rgb = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
const inkOn = ([r, g, b]) => (0.299 * r + 0.587 * g + 0.114 * b < 128 ? "#FFFFFF" : "#000000");

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function layer(width, height = width) {
  const canvas = element("canvas");
  canvas.width = Math.max(1, width);
  canvas.height = Math.max(1, height);
  return canvas;
}

/** A frame that is seen on light and on dark. */
function frame(ctx, x, y, w, h, thin, dashed = false) {
  ctx.setLineDash([]);
  ctx.strokeStyle = "#FFFFFF";
  ctx.lineWidth = thin * 2.4;
  ctx.strokeRect(x, y, w, h);
  ctx.setLineDash(dashed ? [thin * 2.5, thin * 2] : []);
  ctx.strokeStyle = INK;
  ctx.lineWidth = thin;
  ctx.strokeRect(x, y, w, h);
  ctx.setLineDash([]);
}

/** An arrow in a cell of side c, from the anchor towards the patch, or a cross; with a rim, so that it stands out. */
function sign(ctx, x, y, c, relation, cross, ink) {
  const dx = (relation % 3) - 1, dy = Math.floor(relation / 3) - 1;
  if (!cross && !dx && !dy) return;
  ctx.save();
  ctx.translate(x + c / 2, y + c / 2);
  const path = new Path2D();
  const r = c * 0.3, head = c * 0.2;
  if (cross) {
    for (const turn of [1, -1]) (path.moveTo(-r * 0.8, -r * 0.8 * turn), path.lineTo(r * 0.8, r * 0.8 * turn));
  } else {
    ctx.rotate(Math.atan2(dy, dx));
    path.moveTo(-r, 0);
    path.lineTo(r, 0);
    path.moveTo(r - head, -head);
    path.lineTo(r, 0);
    path.lineTo(r - head, head);
  }
  ctx.lineCap = ctx.lineJoin = "round";
  for (const [colour, width] of [[ink === "#FFFFFF" ? "#0008" : "#FFF9", 0.17], [ink, 0.085]]) {
    ctx.strokeStyle = colour;
    ctx.lineWidth = Math.max(1, c * width);
    ctx.stroke(path);
  }
  ctx.restore();
}

function render({ model, el }) {
  const data = unpack(model.get("data"));
  const side = data.side, N = side * side;
  const colours = data.colours.map(rgb);
  const trained = Object.values(data.tasks).some((task) => task.said);
  const s = { task: "sprel", j: 0, i: 0, pinned: false, shuffle: 0, model: false, through: true };
  let picture = null;

  // -- what is true, and what the model says ------------------------------------------------------------------------
  const patchAt = (t) => data.p[s.shuffle * N + t];
  const isClass = () => s.task === "sprel" || s.task === "abspos";
  const target = (i, j) => {
    const T = data.tasks[s.task].target;
    return s.task === "abspos" ? T[patchAt(i)] : T[patchAt(i) * N + patchAt(j)];
  };
  const said = (i, j) => {
    const S = data.tasks[s.task].said;
    return s.task === "abspos" ? S[s.shuffle * N + i] : S[(s.shuffle * N + i) * N + j];
  };
  const isWrong = (i, j) => {
    const off = Math.abs(said(i, j) - target(i, j));
    return isClass() ? off > 0 : off > data.tolerance;
  };
  const heat = (value) => {
    const at = 3 * Math.max(0, Math.min(255, Math.floor(((value + 1) / 2) * 256)));
    return [data.heat[at], data.heat[at + 1], data.heat[at + 2]];
  };
  const colour = (value) => (s.task === "sprel" ? colours[value] : heat(value));
  const hasModel = () => Boolean(data.tasks[s.task].said);
  const showsModel = () => s.model && hasModel();

  // -- the page -----------------------------------------------------------------------------------------------------
  const unique = `rr${Math.random().toString(36).slice(2)}`;
  function radios(title, name, choices, chosen, pick) {
    const set = element("fieldset", {}, element("legend", {}, title));
    for (const [value, text] of choices) {
      const input = element("input", { type: "radio", name: unique + name, value });
      input.checked = value === chosen;
      input.addEventListener("change", () => pick(value));
      set.append(element("label", {}, input, text));
    }
    return set;
  }
  function button(text, press) {
    const made = element("button", { type: "button" }, text);
    made.addEventListener("click", press);
    return made;
  }
  function panel(label) {
    const canvas = element("canvas", { tabindex: 0, role: "application", "aria-label": label });
    const caption = element("figcaption");
    return { canvas, caption, box: element("figure", {}, caption, canvas), size: 0 };
  }
  const keys = "Arrow keys move, Shift and arrows move the other patch, Home and End go along the row, Enter pins.";
  const image = panel(`The image with its grid of ${side} by ${side} patches. ${keys}`);
  const truth = panel(`The matrix of targets, ${N} by ${N}. Arrow keys move the cell.`);
  const guess = trained ? panel(`The matrix of the model's answers, ${N} by ${N}. Arrow keys move the cell.`) : null;
  const panels = [image, truth, guess].filter(Boolean);
  const tasks = radios("Show", "task", Object.entries(data.tasks).map(([name, task]) => [name, task.title]),
    s.task, (name) => change({ task: name }, true));
  const bar = element("div", { class: "bar" }, tasks);
  if (trained)
    bar.append(radios("In the image", "model", [["", "what is true"], ["model", "what the model says"]], "",
      (value) => change({ model: value === "model" })));
  const through = element("input", { type: "checkbox" });
  through.checked = s.through;
  through.addEventListener("change", () => change({ through: through.checked }));
  const last = data.p.length / N - 1;
  const seed = element("input", { type: "number", min: 0, max: last, step: 1, "aria-label": "seed of the shuffle" });
  seed.addEventListener("change", () =>
    change({ shuffle: Math.max(0, Math.min(last, Math.round(Number(seed.value) || 0))) }, true));
  const back = button("Unshuffle", () => change({ shuffle: 0 }, true));
  bar.append(
    button("Shuffle the patches", () => change({ shuffle: (s.shuffle % last) + 1 }, true)),
    element("label", {}, "seed", seed), back,
    element("label", {}, through, "image behind the colours"));
  const legend = element("canvas", { role: "img" });
  const words = element("div", { class: "said", role: "status", "aria-live": "polite" });
  const help = element("div", { class: "help" },
    `Hover or use the arrow keys: the anchor j moves. Click or Enter pins it; then i moves (Shift + arrows do so at any
    time), and Escape lets go. Hover over a matrix to see which two patches a cell is about. ${data.note}`);
  const root = element("div", { class: "rr", "data-lm-suppress-shortcuts": "true" }, element("style", {}, CSS), bar,
    element("div", { class: "panels" }, ...panels.map((each) => each.box)),
    element("div", { class: "below" }, legend, words), help);
  el.append(root);

  // -- layers: drawn once for a task, a shuffle and a size ------------------------------------------------------------
  const at = (k, size, count) => Math.round((k * size) / count); // where cell k begins, in device pixels

  function imageLayer(size) {
    const made = layer(size), ctx = made.getContext("2d"), c = picture.width / side;
    ctx.imageSmoothingEnabled = picture.width >= 100;
    ctx.imageSmoothingQuality = "high";
    for (let t = 0; t < N; t++) {
      const x = at(t % side, size, side), y = at(Math.floor(t / side), size, side), from = patchAt(t);
      ctx.drawImage(picture, (from % side) * c, Math.floor(from / side) * c, c, c, x, y,
        at((t % side) + 1, size, side) - x, at(Math.floor(t / side) + 1, size, side) - y);
    }
    return made;
  }

  /** One block of k x k pixels a cell; mistakes have a cross (a dot where there is no room), then scaled to size. */
  function matrixLayer(size, predicted) {
    const k = Math.max(3, Math.floor(size / N)), width = N * k, pixels = new ImageData(width, width);
    const numbers = new Uint32Array(pixels.data.buffer);
    const packed = ([r, g, b]) => (255 << 24) | (b << 16) | (g << 8) | r;
    const room = k >= 7 ? Math.round(k * 0.22) : Math.floor(k / 3);
    const marked = (a, b) =>
      a >= room && b >= room && a < k - room && b < k - room &&
      (k < 7 || Math.abs(a - b) <= k / 14 || Math.abs(a + b - k + 1) <= k / 14);
    const mark = Array.from({ length: k * k }, (_, n) => marked(n % k, Math.floor(n / k)));
    const line = k >= 8;
    for (let i = 0; i < N; i++)
      for (let j = 0; j < N; j++) {
        const value = predicted ? said(i, j) : target(i, j);
        let fill = s.task === "abspos" ? rgb(PLAIN) : colour(value), wrong = predicted && isWrong(i, j);
        if (s.task === "abspos") {
          if (value === j) fill = rgb(wrong ? WRONG : RIGHT);
          wrong = wrong && value === j;
        }
        const body = packed(fill), ink = packed(rgb(inkOn(fill))), edge = packed([255, 255, 255]);
        for (let n = 0; n < k * k; n++) {
          const a = n % k, b = Math.floor(n / k);
          numbers[(i * k + b) * width + j * k + a] =
            line && (a === k - 1 || b === k - 1) ? edge : wrong && mark[n] ? ink : body;
        }
      }
    const small = layer(width), made = layer(size), ctx = made.getContext("2d");
    small.getContext("2d").putImageData(pixels, 0, 0);
    ctx.imageSmoothingEnabled = width > size;
    ctx.imageSmoothingQuality = "high";
    ctx.drawImage(small, 0, 0, size, size);
    return made;
  }

  function veiled(from) {
    const made = layer(from.width), ctx = made.getContext("2d");
    ctx.drawImage(from, 0, 0);
    ctx.fillStyle = "#FFFFFF99";
    ctx.fillRect(0, 0, made.width, made.width);
    return made;
  }

  let signs = {};
  /** A patch's colour and arrow, of side c, made when first asked for. */
  function relationTile(relation, cross, c) {
    const key = `${relation} ${cross} ${c} ${s.through}`;
    if (!signs[key]) {
      const made = (signs[key] = layer(c)), ctx = made.getContext("2d");
      ctx.globalAlpha = s.through ? 0.62 : 1;
      ctx.fillStyle = data.colours[relation];
      ctx.fillRect(0, 0, c, c);
      ctx.globalAlpha = 1;
      sign(ctx, 0, 0, c, relation, cross, inkOn(colours[relation]));
    }
    return signs[key];
  }

  function build() {
    if (!picture) return;
    signs = {};
    for (const each of panels) {
      each.size = Math.round(each.canvas.clientWidth * devicePixelRatio);
      each.canvas.width = each.canvas.height = Math.max(1, each.size);
      if (!each.size) return;
    }
    image.layer = imageLayer(image.size);
    for (const each of panels.slice(1)) {
      const shown = each !== guess || hasModel();
      each.box.style.visibility = shown ? "visible" : "hidden";
      if (!shown) continue;
      each.layer = matrixLayer(each.size, each === guess);
      each.veiled = veiled(each.layer);
    }
    captions();
    paint();
  }

  function captions() {
    const say = (each, title, text) => each.caption.replaceChildren(element("b", {}, title), text);
    const task = data.tasks[s.task], matrix = s.task === "abspos" ? "rows: place t, columns: class" : "rows i, columns j";
    say(image, showsModel() ? `What the model says: ${task.title}` : `The image: ${task.title}`,
      s.shuffle ? `shuffled with seed ${s.shuffle}: place t holds patch p[t]` : EMPTY);
    say(truth, `Targets, ${N} x ${N}`, `${matrix}${s.shuffle ? "; they move with the patches" : ""}`);
    if (guess && hasModel()) say(guess, `The model's answers, ${isClass() ? "" : "off by more than " + data.tolerance + " "}` +
      "mistakes marked ×", task.verdicts[s.shuffle]);
    seed.value = s.shuffle;
    back.disabled = !s.shuffle;
    tasks.querySelectorAll("input").forEach((input) => (input.checked = input.value === s.task));
  }

  // -- what a hover draws -------------------------------------------------------------------------------------------
  function paint() {
    if (!image.layer) return;
    paintImage();
    for (const each of panels.slice(1)) if (each !== guess || hasModel()) paintMatrix(each);
    paintLegend();
    const text = sentence();
    if (words.textContent !== text) words.textContent = text;
    const pair = { task: s.task, anchor: s.j, other: s.i, shuffle: s.shuffle, pinned: s.pinned, model: showsModel() };
    Object.assign(root.dataset, pair, { value: target(s.i, s.j), said: hasModel() ? said(s.i, s.j) : "" });
  }

  function paintImage() {
    const ctx = image.canvas.getContext("2d"), size = image.size, c = size / side, ratio = devicePixelRatio;
    ctx.drawImage(image.layer, 0, 0);
    const readable = c / ratio >= 25;
    ctx.font = `${Math.min(c * 0.36, 15 * ratio)}px system-ui,sans-serif`;
    ctx.textAlign = "center";
    ctx.textBaseline = "middle";
    for (let t = 0; t < N; t++) {
      const x = at(t % side, size, side), y = at(Math.floor(t / side), size, side);
      const w = at((t % side) + 1, size, side) - x, h = at(Math.floor(t / side) + 1, size, side) - y;
      const cross = showsModel() && isWrong(t, s.j), value = showsModel() ? said(t, s.j) : target(t, s.j);
      if (s.task === "sprel") {
        if (t !== s.j) ctx.drawImage(relationTile(value, cross, Math.ceil(c)), x, y, w, h);
        continue;
      }
      const fill = s.task === "abspos" ? rgb(cross ? WRONG : PLAIN) : colour(value);
      ctx.globalAlpha = s.through && t === s.j ? 0.2 : s.through ? 0.72 : 1;
      ctx.fillStyle = `rgb(${fill})`;
      ctx.fillRect(x, y, w, h);
      ctx.globalAlpha = 1;
      const ink = inkOn(fill);
      if (cross && s.task !== "abspos") sign(ctx, x, y, c, 4, true, ink);
      else if (readable || s.task === "abspos") {
        ctx.strokeStyle = ink === "#FFFFFF" ? "#000A" : "#FFFC";
        ctx.lineWidth = 2.5 * ratio;
        ctx.fillStyle = ink;
        const text = s.task === "abspos" ? value : value.toFixed(c / ratio >= 34 ? 2 : 1);
        if (s.through) ctx.strokeText(text, x + c / 2, y + c / 2);
        ctx.fillText(text, x + c / 2, y + c / 2);
      }
    }
    ctx.fillStyle = "#FFFFFFCC";
    for (let k = 1; k < side; k++) {
      ctx.fillRect(at(k, size, side), 0, ratio, size);
      ctx.fillRect(0, at(k, size, side), size, ratio);
    }
    const around = (t, thin, dashed, tag) => {
      const x = at(t % side, size, side), y = at(Math.floor(t / side), size, side), pad = thin * ratio;
      frame(ctx, x + pad, y + pad, c - 2 * pad, c - 2 * pad, thin * ratio, dashed);
      if (c / ratio < 18 || s.task === "abspos") return;
      const box = Math.min(c * 0.42, 15 * ratio);
      ctx.fillStyle = INK;
      ctx.fillRect(x + pad, y + pad, box, box);
      ctx.fillStyle = "#FFFFFF";
      ctx.font = `italic bold ${box * 0.9}px serif`;
      ctx.fillText(tag, x + pad + box / 2, y + pad + box / 2);
    };
    if (s.task === "abspos") around(patchAt(s.j), 1.5, true);
    else if (s.i !== s.j) around(s.i, 1.5, true, "i");
    around(s.j, 2.4, false, "j");
  }

  function paintMatrix(each) {
    const ctx = each.canvas.getContext("2d"), size = each.size, ratio = devicePixelRatio;
    const [row, column] = cell();
    const x = at(column, size, N), y = at(row, size, N), w = at(column + 1, size, N) - x, h = at(row + 1, size, N) - y;
    ctx.drawImage(each.veiled, 0, 0);
    ctx.drawImage(each.layer, x, 0, w, size, x, 0, w, size);
    ctx.drawImage(each.layer, 0, y, size, h, 0, y, size, h);
    ctx.strokeStyle = INK;
    ctx.lineWidth = ratio;
    ctx.strokeRect(x - ratio / 2, ratio / 2, w + ratio, size - ratio);
    ctx.strokeRect(ratio / 2, y - ratio / 2, size - ratio, h + ratio);
    const out = Math.max(0, 5 * ratio - w) / 2 + ratio;
    frame(ctx, x - out, y - out, w + 2 * out, h + 2 * out, 1.8 * ratio);
  }
  const cell = () => (s.task === "abspos" ? [s.j, patchAt(s.j)] : [s.i, s.j]);

  function paintLegend() {
    const ratio = devicePixelRatio, [w, h] = s.task === "sprel" ? [150, 96] : [280, s.task === "abspos" ? 28 : 52];
    const ctx = legend.getContext("2d"), value = target(s.i, s.j);
    if (legend.width !== w * ratio || legend.height !== h * ratio) {
      legend.width = w * ratio;
      legend.height = h * ratio;
      legend.style.cssText = `width:${w}px;height:${h}px`;
    }
    ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
    ctx.clearRect(0, 0, w, h);
    ctx.font = "12px system-ui,sans-serif";
    ctx.textBaseline = "middle";
    ctx.textAlign = "left";
    let label = "dashed: where the patch belongs";
    if (s.task === "sprel") {
      label = "Colours of the nine classes, as seen from the anchor";
      data.names.forEach((name, k) => {
        const x = (k % 3) * 50, y = Math.floor(k / 3) * 32;
        ctx.fillStyle = data.colours[k];
        ctx.fillRect(x + 1, y + 1, 48, 30);
        sign(ctx, x + 2, y + 3, 26, k, false, inkOn(colours[k]));
        ctx.fillStyle = inkOn(colours[k]);
        ctx.fillText(name, x + 29, y + 17);
      });
      frame(ctx, (value % 3) * 50 + 2, Math.floor(value / 3) * 32 + 2, 46, 28, 2);
    } else if (s.task === "abspos") {
      ctx.fillStyle = INK;
      ctx.fillText("The number is the patch's own place; dashed: that place", 0, 14);
    } else {
      label = `Colour bar from -1 to 1; the value is ${value.toFixed(2)}`;
      for (let k = 0; k < 256; k++) {
        ctx.fillStyle = `rgb(${heat(k / 128 - 1)})`;
        ctx.fillRect(12 + k, 14, 1.5, 18);
      }
      ctx.fillStyle = INK;
      ctx.textAlign = "center";
      for (const tick of [-1, 0, 1]) ctx.fillText(tick, 12 + (tick + 1) * 128, 42);
      const x = 12 + (value + 1) * 128;
      ctx.beginPath();
      for (const [a, b] of [[x - 6, 2], [x + 6, 2], [x, 13]]) ctx.lineTo(a, b);
      ctx.fill();
    }
    legend.setAttribute("aria-label", label);
  }

  /** The pair in words. */
  function sentence() {
    const { i, j, task } = s, value = target(i, j);
    const name = (t) => `patch ${patchAt(t)}${s.shuffle ? ` (now at place ${t})` : ""}`;
    const capital = (text) => text[0].toUpperCase() + text.slice(1);
    let text;
    if (task === "abspos") {
      const own = patchAt(j);
      text = `Place ${j} holds patch ${own}: class ${own} of 0 to ${N - 1} (row ${Math.floor(own / side)}, column ${own % side}).`;
    } else if (task === "sprel") {
      text = i === j ? `${capital(name(j))} seen from itself: class 4 (CC).`
        : `${capital(name(i))} lies ${data.words[value]} ${name(j)}: class ${value} (${data.names[value]}).`;
    } else if (task === "dist") {
      const far = ((value + 1) / 2) * data.furthest;
      text = `${capital(name(i))} lies ${far.toFixed(2)} patches from ${name(j)}, of at most ${data.furthest.toFixed(2)}: ` +
        `distance ${value.toFixed(2)}.`;
    } else {
      const wide = ((value + 1) / 2) * data.widest;
      text = `From the origin, ${name(i)} and ${name(j)} are seen ${wide.toFixed(1)}° apart, of at most ` +
        `${data.widest.toFixed(1)}°: angle ${value.toFixed(2)}.`;
    }
    if (hasModel()) {
      const [a, b] = task === "abspos" ? [j, j] : [i, j], answer = said(a, b);
      if (!isClass()) text += ` The model says ${answer.toFixed(2)}${isWrong(a, b) ? ": a mistake." : "."}`;
      else if (!isWrong(a, b)) text += " The model says so too.";
      else text += ` The model says class ${answer}${task === "sprel" ? ` (${data.names[answer]})` : ""}: a mistake.`;
    }
    return text + (s.pinned ? " The anchor is pinned." : "");
  }

  // -- what moves it ------------------------------------------------------------------------------------------------
  /** Take over a new state; `anew` where the layers change with it. */
  function change(news, anew = false) {
    Object.assign(s, news);
    if (anew) build();
    else captions(), paint();
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
  function under(event, count) {
    const box = event.currentTarget, clip = (v) => Math.max(0, Math.min(count - 1, Math.floor(v * count)));
    return [clip(event.offsetY / box.clientHeight), clip(event.offsetX / box.clientWidth)];
  }
  function point(each, event) {
    if (each === image) {
      const [y, x] = under(event, side), t = y * side + x;
      move(s.pinned && s.task !== "abspos" ? { i: t } : { j: t });
    } else {
      const [row, column] = under(event, N);
      move(s.task === "abspos" ? { j: row } : { i: row, j: column });
    }
  }
  function press(each, event) {
    each.canvas.focus({ preventScroll: true });
    const [y, x] = under(event, each === image ? side : N), t = y * side + x;
    if (each !== image) point(each, event);
    const pinned = each !== image || !s.pinned || t !== s.j;
    Object.assign(s, { pinned }, each === image && s.pinned === false ? { j: t } : {});
    if (each === image && pinned) s.j = t;
    paint();
    tell();
  }
  const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  function key(each, event) {
    if (event.altKey || event.metaKey) return;
    const k = event.key, grid = each === image ? side : N, name = s.pinned !== event.shiftKey ? "i" : "j";
    let [y, x] = each === image ? [Math.floor(s[name] / side), s[name] % side] : cell();
    if (k in STEPS) [y, x] = [y + STEPS[k][0], x + STEPS[k][1]];
    else if (k === "Home") [y, x] = event.ctrlKey ? [0, 0] : [y, 0];
    else if (k === "End") [y, x] = event.ctrlKey ? [grid - 1, grid - 1] : [y, grid - 1];
    else if (k === "PageUp") y = 0;
    else if (k === "PageDown") y = grid - 1;
    else if (k === "Enter" || k === " ") (s.pinned = !s.pinned), paint(), tell();
    else if (k === "Escape" && s.pinned) (s.pinned = false), paint();
    else return;
    event.preventDefault();
    event.stopPropagation();
    [y, x] = [y, x].map((v) => Math.max(0, Math.min(grid - 1, v)));
    if (each === image) move({ [s.task === "abspos" ? "j" : name]: y * side + x });
    else move(s.task === "abspos" ? { j: y } : { i: y, j: x });
  }
  for (const each of panels) {
    each.canvas.addEventListener("pointermove", (event) => point(each, event));
    each.canvas.addEventListener("click", (event) => press(each, event));
    each.canvas.addEventListener("keydown", (event) => key(each, event));
  }

  function follow() {
    const news = { task: model.get("task"), j: model.get("anchor"), shuffle: model.get("shuffle") };
    const anew = news.task !== s.task || news.shuffle !== s.shuffle;
    if (!anew && news.j === s.j) return;
    Object.assign(s, news);
    if (anew) build();
    else paint();
  }
  follow();
  model.on("change:task change:anchor change:shuffle", follow);
  const watcher = new ResizeObserver(build);
  createImageBitmap(new Blob([data.png], { type: "image/png" })).then((bitmap) => {
    picture = bitmap;
    panels.forEach((each) => watcher.observe(each.canvas));
  });
  return () => {
    watcher.disconnect();
    model.off("change:task change:anchor change:shuffle", follow);
  };
}
export default { render };
