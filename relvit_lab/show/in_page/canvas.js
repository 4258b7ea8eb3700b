// What every page with patches needs, in a notebook's widgets and in try.html: it comes first in their modules.
const INK = "#222222", WRONG = "#E69F00", PLAIN = "#EEEEEE";
const WAYS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }; // rows and columns
const between = (low, v, high) => Math.max(low, Math.min(high, v));

// -- elements --------------------------------------------------------------------------------------------------------

/** element("label", { for: "x" }, "text", child) */
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** An element that acts when it is pressed, or when its value changes: act(itself). */
function control(tag, attributes, act, ...children) {
  const made = element(tag, attributes, ...children);
  made.addEventListener(tag === "button" ? "click" : "input", () => act(made));
  return made;
}
const button = (words, act) => control("button", { type: "button" }, act, words);

/** One choice of several, [value, text] each; pick(value) once another is taken. */
function radios(title, name, choices, pick, chosen) {
  const set = element("fieldset", { class: "radios" }, element("legend", {}, title));
  for (const [value, text] of choices) {
    const input = control("input", { type: "radio", name, value }, () => pick(value));
    input.checked = String(value) === String(chosen);
    set.append(element("label", {}, input, element("span", {}, text)));
  }
  return set;
}

/** Where a key leads from row y and column x of a grid; undefined for a key that leads nowhere. */
function led({ key, ctrlKey }, [y, x], [rows, columns]) {
  if (key in WAYS) return [between(0, y + WAYS[key][0], rows - 1), between(0, x + WAYS[key][1], columns - 1)];
  return { Home: [ctrlKey ? 0 : y, 0], End: [ctrlKey ? rows - 1 : y, columns - 1], PageUp: [0, x],
    PageDown: [rows - 1, x] }[key];
}

// -- pictures --------------------------------------------------------------------------------------------------------

const copy = (view) => view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength); // for its alignment
const rgb = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
const inkOn = ([r, g, b]) => (0.299 * r + 0.587 * g + 0.114 * b < 128 ? "#FFFFFF" : "#000000");
const decoded = (bytes) => createImageBitmap(new Blob([bytes], { type: "image/png" }));

function layer(size, draw) {
  const canvas = element("canvas", { width: Math.max(1, size), height: Math.max(1, size) });
  draw(canvas.getContext("2d"), canvas);
  return canvas;
}

/** Where cell k of `count` begins along `size` pixels, in whole ones, so that neighbours touch. */
const at = (k, size, count) => Math.round((k * size) / count);
/** Where place t of a grid of side x side lies: left, top, width, height. */
function cell(t, size, side) {
  const [y, x] = [Math.floor(t / side), t % side], [left, top] = [at(x, size, side), at(y, size, side)];
  return [left, top, at(x + 1, size, side) - left, at(y + 1, size, side) - top];
}

/** Pale lines between the places. */
function gridLines(ctx, size, side, wide, colour) {
  ctx.fillStyle = colour;
  for (let k = 1; k < side; k++) {
    ctx.fillRect(at(k, size, side), 0, wide, size);
    ctx.fillRect(0, at(k, size, side), size, wide);
  }
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

/** In a cell of side c an arrow towards where relation 0 to 8 of eq. 5 lies, or a cross; its rim makes it stand out. */
function sign(ctx, x, y, c, relation, cross, ink) {
  const dx = (relation % 3) - 1, dy = Math.floor(relation / 3) - 1, r = c * 0.3, head = c * 0.2;
  const lines = cross ? [[-r, -r, r, r], [-r, r, r, -r]] : [[-r, 0, r, 0], [r - head, -head, r, 0, r - head, head]];
  if (!cross && !dx && !dy) return;
  const path = new Path2D();
  for (const line of lines)
    for (let k = 0; k < line.length; k += 2) path[k ? "lineTo" : "moveTo"](line[k], line[k + 1]);
  ctx.save();
  ctx.translate(x + c / 2, y + c / 2);
  if (!cross) ctx.rotate(Math.atan2(dy, dx));
  ctx.lineCap = ctx.lineJoin = "round";
  for (const [colour, width] of [[ink === "#FFFFFF" ? "#0008" : "#FFF9", 0.17], [ink, 0.085]]) {
    ctx.strokeStyle = colour;
    ctx.lineWidth = Math.max(1, c * width);
    ctx.stroke(path);
  }
  ctx.restore();
}

