// What the explorers of tokens share: it becomes the head of their modules. Elements, colours, frames and arrows.
const INK = "#222222", WRONG = "#E69F00", PLAIN = "#EEEEEE";
const KEYS = "Arrow keys move, Home and End go along the row, Page Up and Page Down along the column.";
const TOUCH = matchMedia("(hover: none)").matches; // a telephone: nothing hovers, a tap is all there is
const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

const copy = (view) => view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength); // for its alignment
const rgb = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
const inkOn = ([r, g, b]) => (0.299 * r + 0.587 * g + 0.114 * b < 128 ? "#FFFFFF" : "#000000");
const between = (low, v, high) => Math.max(low, Math.min(high, v));

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function layer(size, draw) {
  const canvas = element("canvas", { width: Math.max(1, size), height: Math.max(1, size) });
  draw(canvas.getContext("2d"), canvas);
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

/** In a cell of side c an arrow that points from the anchor towards the patch, or a cross; its rim makes it stand out. */
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

