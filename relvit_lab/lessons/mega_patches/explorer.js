// The mega-patches explorer. Lines move here, at once; the kernel is asked for the cells, the latest question counts.
const LARGEST = 390; // side of both pictures, in CSS pixels
const EDGE = 22; // room for the lines' handles
const PAUSE = 100; // milliseconds between two questions to the kernel
const LATE = 2000; // after so long without an answer it says that it waits
const STYLE = `
.mega-patches { background: var(--jp-layout-color0, #fff); color: var(--jp-content-font-color1, #222); font: 14px/1.45 system-ui, sans-serif; max-width: 900px; }
.mega-patches .bar { display: flex; flex-wrap: wrap; gap: .5em 1.4em; align-items: center; margin: .4em 0; }
.mega-patches label { display: inline-flex; align-items: center; gap: .4em; cursor: pointer; }
.mega-patches input[type=number] { width: 5em; font: inherit; }
.mega-patches input, .mega-patches button { font: inherit; accent-color: #0072B2; }
.mega-patches button { padding: .2em .8em; cursor: pointer; }
.mega-patches .panels { display: flex; flex-wrap: wrap; gap: 8px 22px; padding-left: ${EDGE}px; }
.mega-patches .title { font-weight: 600; margin: .3em 0 0; width: var(--size); text-align: center; }
.mega-patches .panel { position: relative; width: var(--size); height: var(--size); margin-top: ${EDGE + 2}px; }
.mega-patches .panel > canvas, .mega-patches .panel > img
  { position: absolute; left: 0; top: 0; width: var(--size); height: var(--size); }
.mega-patches img { image-rendering: pixelated; user-select: none; }
.mega-patches .cut { position: absolute; z-index: 2; outline: none; touch-action: none; }
.mega-patches .cut::before { content: ""; position: absolute; background: #fff; box-shadow: 0 0 0 1.5px #222; }
.mega-patches .cut::after { content: ""; position: absolute; width: var(--knob); height: var(--knob); border-radius: 50%;
  background: #fff; border: 3px solid #222; box-sizing: border-box; }
.mega-patches .cut.row { left: -${EDGE}px; width: calc(var(--size) + ${EDGE}px); height: 14px; margin-top: -7px; cursor: ns-resize; }
.mega-patches .cut.row::before { left: calc(var(--knob) - 2px); right: 0; top: calc(7px - var(--line) / 2); height: var(--line); }
.mega-patches .cut.row::after { left: 0; top: calc(7px - var(--knob) / 2); }
.mega-patches .cut.column { top: -${EDGE}px; height: calc(var(--size) + ${EDGE}px); width: 14px; margin-left: -7px; cursor: ew-resize; }
.mega-patches .cut.column::before { top: calc(var(--knob) - 2px); bottom: 0; left: calc(7px - var(--line) / 2); width: var(--line); }
.mega-patches .cut.column::after { top: 0; left: calc(7px - var(--knob) / 2); }
.mega-patches .cut:focus-visible::after, .mega-patches .cut.held::after { background: #E69F00; }
.mega-patches .cut:focus-visible::before, .mega-patches .cut.held::before
  { background: #E69F00; box-shadow: 0 0 0 2px #222, 0 0 0 4px #fff; }
.mega-patches :is(input, button, canvas):focus-visible { outline: 3px solid #0072B2; outline-offset: 2px; }
.mega-patches input[type=range] { width: 180px; }
.mega-patches .tokens { margin-top: .6em; }
.mega-patches .words { min-height: 3em; margin-top: .3em; }
.mega-patches .note { color: var(--jp-content-font-color2, #555); }
`;

const patches = (count) => `${count} ${count === 1 ? "patch" : "patches"}`;

function render({ model, el }) {
  const { picture, side, patch, window: crop, note } = model.get("about");
  const SIZE = Math.min(LARGEST, (el.clientWidth || Infinity) - EDGE - 4); // on a phone less
  const unit = SIZE / side; // CSS pixels a patch
  const controls = makeControls();
  const address = URL.createObjectURL(new Blob([picture], { type: "image/png" }));
  const image = element("img", { src: address, draggable: false, alt: `The image, ${side} by ${side} patches` });
  const overlay = element("canvas");
  const left = element("div", { class: "panel" }, image, overlay);
  const cells = element("canvas", { tabindex: 0, class: "cells", role: "application" });
  const right = element("div", { class: "panel" }, cells);
  const tokens = element("div", { class: "tokens" });
  const words = element("div", { class: "words", "aria-live": "polite" });
  const titles = [element("div", { class: "title" }), element("div", { class: "title" })];
  const root = element("div", { class: "mega-patches" }, element("style", {}, STYLE), ...controls.bars,
    element("div", { class: "panels" }, element("div", {}, titles[0], left), element("div", {}, titles[1], right)),
    tokens, words);
  root.style.setProperty("--size", `${SIZE}px`);
  root.dataset.lmSuppressShortcuts = "true"; // else JupyterLab takes the arrow keys, on their way down and up
  root.addEventListener("keydown", (event) => event.stopPropagation());
  if (note) root.append(element("div", { class: "note" }, note));
  el.append(root);
  titles[0].textContent = `Image: ${side} × ${side} = ${patches(side * side)} of ${patch} × ${patch} pixels`;

  const source = element("canvas"); // the cells as the kernel sent them, M * P pixels a side
  let inSource = null;
  let lines = []; // of the page: {node, axis, index}
  let chosen = -1; // the one that is looked at

  // What is asked, and what is shown. Until the kernel has answered, lines that it draws stay where they were.
  // What is not sent yet is kept here: the model's own value is overwritten when the kernel echoes an earlier one.
  let unsent = null;
  const asked = () => unsent ?? model.get("asked");
  const shown = () => model.get("shown");
  const cuts = () => (asked().cuts ?? shown().cuts);
  const m = () => cuts()[0].length + 1;
  const edges = (axis) => [0, ...cuts()[axis], side];

  const alone = model.get("_no_kernel"); // a page of `make site`
  const answer = alone && answererWithoutKernel(model);
  const pause = alone ? 0 : PAUSE;
  let timer = 0;
  let late = 0;
  let sent = -Infinity;
  function ask(changes) {
    unsent = { ...asked(), ...changes, number: asked().number + 1 };
    draw();
    if (timer) return;
    const send = () => {
      timer = 0;
      sent = performance.now();
      model.set("asked", unsent);
      unsent = null;
      if (alone) return void answerHere(model.get("asked"));
      model.save_changes();
      clearTimeout(late);
      late = setTimeout(say, LATE);
    };
    timer = setTimeout(send, Math.max(0, sent + pause - performance.now()));
  }

  async function answerHere(question) {
    const made = await answer(question);
    if (made.number > shown().number) model.set("shown", made); // an earlier one may come later: it has to decode
  }

  function moveTo({ axis, index }, to) {
    const now = cuts().map((axisCuts) => [...axisCuts]);
    const around = edges(axis);
    to = between(around[index] + 1, to, around[index + 2] - 1); // lines never meet
    if (now[axis][index] === to) return;
    now[axis][index] = to;
    if (asked().shared) now[1 - axis] = [...now[axis]];
    ask({ m: m(), cuts: now });
  }

  function drawLines() {
    if (lines.length !== 2 * (m() - 1)) {
      lines.forEach(({ node }) => node.remove());
      lines = [0, 1].flatMap((axis) => Array.from({ length: m() - 1 }, (_, index) => makeLine(axis, index)));
      left.append(...lines.map(({ node }) => node));
    }
    root.style.setProperty("--line", m() > 8 ? "2px" : "3px");
    root.style.setProperty("--knob", `${between(8, unit - 2, 18)}px`);
    for (const { node, axis, index } of lines) {
      const [before, at, after] = edges(axis).slice(index, index + 3);
      node.style[axis ? "left" : "top"] = `${at * unit}px`;
      node.setAttribute("aria-valuemin", before + 1);
      node.setAttribute("aria-valuemax", after - 1);
      node.setAttribute("aria-valuenow", at);
      node.setAttribute("aria-valuetext", `after patch ${axis ? "column" : "row"} ${at} of ${side}`);
    }
  }

  function makeLine(axis, index) {
    const node = element("div", { class: `cut ${axis ? "column" : "row"}`, tabindex: 0, role: "slider",
      "aria-orientation": axis ? "horizontal" : "vertical",
      "aria-label": `${axis ? "Column" : "Row"} cut ${index + 1} of ${m() - 1}` });
    const line = { node, axis, index };
    node.addEventListener("pointerdown", (event) => {
      node.setPointerCapture(event.pointerId);
      node.classList.add("held");
      node.focus({ preventScroll: true });
      event.preventDefault();
    });
    node.addEventListener("pointermove", (event) => {
      if (!node.classList.contains("held")) return;
      const box = image.getBoundingClientRect();
      const place = axis ? (event.clientX - box.left) / box.width : (event.clientY - box.top) / box.height;
      moveTo(line, Math.round(place * side));
    });
    for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
      node.addEventListener(end, () => node.classList.remove("held"));
    }
    node.addEventListener("keydown", (event) => {
      const at = cuts()[axis][index];
      const to = { [axis ? "ArrowLeft" : "ArrowUp"]: at - 1, [axis ? "ArrowRight" : "ArrowDown"]: at + 1,
        Home: 0, End: side }[event.key];
      if (to === undefined) return;
      moveTo(line, to);
      event.preventDefault();
    });
    return line;
  }

  // Cells, and the rectangle of the one that is looked at
  const gap = () => (shown().m > 8 ? 2 : 4); // in CSS pixels
  const pitch = () => (SIZE + gap()) / shown().m;
  function drawCells() {
    const { m, cells: bytes, number } = shown();
    if (inSource !== bytes) {
      inSource = bytes;
      source.width = source.height = m * patch;
      const rgba = new Uint8ClampedArray(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      source.getContext("2d").putImageData(new ImageData(rgba, m * patch, m * patch), 0, 0);
    }
    const context = sharp(cells);
    context.imageSmoothingEnabled = false;
    for (let i = 0; i < m * m; i++) {
      const [y, x] = [Math.floor(i / m), i % m];
      context.drawImage(source, x * patch, y * patch, patch, patch, ...box(y, x));
    }
    if (chosen >= 0 && chosen < m * m) outline(context, ...box(Math.floor(chosen / m), chosen % m));
    cells.dataset.number = number; // the question that this answers
  }
  const box = (y, x) => [x * pitch(), y * pitch(), pitch() - gap(), pitch() - gap()];

  function drawOverlay() {
    const context = sharp(overlay);
    context.fillStyle = "rgba(255, 255, 255, .4)";
    for (let k = 1; k < side; k++) {
      context.fillRect(k * unit - 0.5, 0, 1, SIZE);
      context.fillRect(0, k * unit - 0.5, SIZE, 1);
    }
    if (chosen < 0 || chosen >= m() ** 2) return;
    const [top, beside, height, width] = rectangle(chosen).map((value) => value * unit);
    context.fillStyle = "rgba(0, 0, 0, .55)"; // the rest in shade
    context.fillRect(0, 0, SIZE, top);
    context.fillRect(0, top + height, SIZE, SIZE - top - height);
    context.fillRect(0, top, beside, height);
    context.fillRect(beside + width, top, SIZE - beside - width, height);
    outline(context, beside, top, width, height);
  }

  function rectangle(i) {
    const [rows, columns] = [edges(0), edges(1)];
    const [y, x] = [Math.floor(i / m()), i % m()];
    return [rows[y], columns[x], rows[y + 1] - rows[y], columns[x + 1] - columns[x]];
  }

  function outline(context, x, y, width, height) {
    for (const [colour, line] of [["#222", 7], ["#fff", 4], ["#222", 1.5]]) {
      context.strokeStyle = colour;
      context.lineWidth = line;
      context.strokeRect(x + 2, y + 2, width - 4, height - 4);
    }
  }

  function look(at) {
    if (at === chosen) return;
    chosen = at;
    drawOverlay();
    drawCells();
    say();
  }
  cells.addEventListener("pointermove", ({ offsetX, offsetY }) => {
    const [x, y] = [offsetX, offsetY].map((value) => Math.floor(Math.max(0, value) / pitch()));
    look(Math.min(y, shown().m - 1) * shown().m + Math.min(x, shown().m - 1));
  });
  cells.addEventListener("focus", () => chosen < 0 && look(0));
  left.addEventListener("pointermove", (event) => {
    if (event.target !== overlay) return;
    const find = (axis, value) => cuts()[axis].filter((cut) => cut * unit <= value).length;
    look(find(0, event.offsetY) * m() + find(1, event.offsetX));
  });
  for (const panel of [left, cells]) {
    panel.addEventListener("pointerleave", () => document.activeElement !== cells && look(-1));
  }
  cells.addEventListener("blur", () => look(-1));
  cells.addEventListener("keydown", (event) => {
    const to = led(event, [Math.floor(chosen / m()), chosen % m()], [m(), m()]);
    if (!to) return;
    look(to[0] * m() + to[1]);
    event.preventDefault();
  });

  // Words
  function say() {
    const [all, total] = [m() ** 2, side * side];
    titles[1].textContent = `M = ${m()}: ${all} mega-patches of ${patch} × ${patch} pixels`;
    cells.setAttribute("aria-label", `The ${all} mega-patches; arrow keys go from one to the next`);
    tokens.textContent = `Tokens: M² = ${all} instead of (image side / P)² = ${total}. ` +
      `On average a mega-patch holds ${(total / all).toFixed(1)} patches.`;
    if (alone && shown().approximate) {
      const augmented = asked().crop || asked().jitter || asked().grey;
      tokens.textContent += " This page has no kernel: the browser resized these cells, which comes close to what a model gets" +
        (augmented ? `, and leaves patch augmentation out: that is here for M = ${model.get("carried").m} and a seed's own cuts.` : ".");
    }
    if (!alone && asked().number !== shown().number && performance.now() - sent > LATE * 0.9) {
      tokens.textContent += " Waiting for the kernel: is it busy, or has it stopped?";
    }
    if (shown().error) words.textContent = shown().error;
    else if (chosen < 0 || chosen >= all) {
      words.textContent = "Point at a mega-patch, or go to it with the arrow keys, to see where it comes from. " +
        "Drag the lines, or move a focused line with the arrow keys.";
    } else {
      const [top, beside, height, width] = rectangle(chosen);
      const span = (what, from, count) => (count === 1 ? `${what} ${from}` : `${what}s ${from} to ${from + count - 1}`);
      const changed = (shown().m === m() && shown().changes[chosen]) || "";
      words.textContent = `Mega-patch ${chosen} (row ${Math.floor(chosen / m())}, column ${chosen % m()}): ` +
        `patch ${span("row", top, height)}, ${span("column", beside, width)}, so ` +
        `${height} × ${width} = ${patches(height * width)}; ${height * patch} × ${width * patch} pixels ` +
        (height * width === 1 ? "stay as they are" : `become ${patch} × ${patch}`) + (changed ? `; ${changed}.` : ".");
    }
  }

  function nextSeed(seed) {
    const there = alone ? model.get("carried").seeds ?? [] : [];
    return alone ? there.find((other) => other > seed) ?? there[0] ?? seed : seed + 1;
  }

  function makeControls() {
    const field = (text, properties, act) => {
      const input = control("input", { ...properties, "aria-label": text }, act);
      return { input, label: element("label", {}, ...(properties.type === "checkbox" ? [input, text] : [text, input])) };
    };
    const value = element("output");
    const slider = field("M, mega-patches a side", { type: "range", min: 1, max: side, step: 1 },
      (input) => ask({ m: Number(input.value), cuts: null }));
    slider.label.append(value);
    const seed = field("seed", { type: "number", min: 0, step: 1 }, (input) => {
      if (input.value !== "" && Number.isSafeInteger(Number(input.value))) ask({ seed: Number(input.value), cuts: null });
    });
    const again = button("New cuts", () => ask({ seed: nextSeed(asked().seed), cuts: null }));
    const toggle = (name, text, also = () => ({})) =>
      field(text, { type: "checkbox", name }, ({ checked }) => ask({ [name]: checked, ...also(checked) }));
    const cropped = crop < patch ? `crop to ${crop} × ${crop}, and back to ${patch} × ${patch}` : "crop (none at this P)";
    const augment = [toggle("crop", cropped), toggle("jitter", "colour jitter (4 in 5)"), toggle("grey", "grey (1 in 5)")];
    const shared = toggle("shared", "the same cuts both ways (the released code’s slip)", (checked) =>
      checked && asked().cuts ? { cuts: [cuts()[0], [...cuts()[0]]] } : {}); // moved by hand: the rows' cuts stay
    return {
      bars: [
        element("div", { class: "bar" }, slider.label, seed.label, again),
        element("div", { class: "bar" }, "Patch augmentation:", ...augment.map(({ label }) => label)),
        element("div", { class: "bar" }, shared.label),
      ],
      update() {
        slider.input.value = value.textContent = asked().m;
        if (Number(seed.input.value) !== asked().seed || seed.input.value === "") seed.input.value = asked().seed;
        for (const { input } of [...augment, shared]) input.checked = asked()[input.name];
      },
    };
  }

  function sharp(canvas) { // as many pixels as the screen has
    const scale = window.devicePixelRatio || 1;
    canvas.width = canvas.height = Math.round(SIZE * scale);
    const context = canvas.getContext("2d");
    context.scale(canvas.width / SIZE, canvas.height / SIZE);
    return context;
  }

  function draw() {
    controls.update();
    drawLines();
    drawOverlay();
    drawCells();
    say();
  }
  model.on("change:asked change:shown", draw);
  draw();
  return () => {
    model.off("change:asked change:shown", draw);
    clearTimeout(timer);
    clearTimeout(late);
    URL.revokeObjectURL(address);
  };
}
export default { render };
