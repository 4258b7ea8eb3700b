// What a page draws of patches, on a canvas of `size` pixels a side that shows a grid of `side` x `side` places.

/** Elements without a library: element("label", { for: "x" }, "text", child). */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** As many pixels as the screen has in the canvas's place; gives its context and its side. */
export function fresh(canvas) {
  const size = Math.max(1, Math.round(canvas.clientWidth * devicePixelRatio));
  canvas.width = canvas.height = size;
  return { ctx: canvas.getContext("2d"), size };
}

/** Where place t lies: left, top, width, height in whole pixels, so that neighbours touch. */
export function cell(t, size, side) {
  const [y, x] = [Math.floor(t / side), t % side], at = (k) => Math.round((k * size) / side);
  return [at(x), at(y), at(x + 1) - at(x), at(y + 1) - at(y)];
}

/** Planes (3,H,W) in [0, 1] as a small canvas, pixel by pixel. */
export function asCanvas(planes) {
  const side = Math.round(Math.sqrt(planes.length / 3)), area = side * side, rgba = new ImageData(side, side);
  for (let k = 0; k < area; k++) {
    for (let c = 0; c < 3; c++) rgba.data[4 * k + c] = Math.round(255 * planes[c * area + k]);
    rgba.data[4 * k + 3] = 255;
  }
  const canvas = element("canvas", { width: side, height: side });
  canvas.getContext("2d").putImageData(rgba, 0, 0);
  return canvas;
}

/** The image in its places, a gap between them. */
export function drawPatches({ ctx, size }, planes, side, gap = 0.02) {
  const picture = asCanvas(planes), patch = picture.width / side;
  ctx.imageSmoothingEnabled = false;
  for (let t = 0; t < side * side; t++) {
    const [x, y, w, h] = cell(t, size, side), off = Math.max(1, Math.round((gap * size) / side));
    ctx.drawImage(picture, (t % side) * patch, Math.floor(t / side) * patch, patch, patch, x + off, y + off,
      w - 2 * off, h - 2 * off);
  }
}

/** A colour in each place. */
export function drawField({ ctx, size }, side, colour) {
  for (let t = 0; t < side * side; t++) {
    ctx.fillStyle = colour(t);
    ctx.fillRect(...cell(t, size, side));
  }
}

/** Lines between the places, pale, so that equal colours stay apart. */
export function drawLines({ ctx, size }, side) {
  ctx.fillStyle = "#FFFFFFB0";
  for (let k = 1; k < side; k++) {
    const at = Math.round((k * size) / side);
    ctx.fillRect(at, 0, 1, size);
    ctx.fillRect(0, at, size, 1);
  }
}

/** In a place an arrow towards where relation 0 to 8 of eq. 5 lies, or a cross. */
export function drawSign({ ctx, size }, side, t, relation, cross, ink) {
  const [x, y, w, h] = cell(t, size, side), dx = (relation % 3) - 1, dy = Math.floor(relation / 3) - 1;
  if (!cross && !dx && !dy) return;
  const r = w * 0.3, head = w * 0.2;
  const lines = cross ? [[-r, -r, r, r], [-r, r, r, -r]] : [[-r, 0, r, 0], [r - head, -head, r, 0, r - head, head]];
  ctx.save();
  ctx.translate(x + w / 2, y + h / 2);
  if (!cross) ctx.rotate(Math.atan2(dy, dx));
  ctx.lineCap = ctx.lineJoin = "round";
  ctx.lineWidth = Math.max(1, w * 0.085);
  ctx.strokeStyle = ink;
  ctx.beginPath();
  for (const line of lines)
    for (let k = 0; k < line.length; k += 2) ctx[k ? "lineTo" : "moveTo"](line[k], line[k + 1]);
  ctx.stroke();
  ctx.restore();
}

/** A frame that is seen on light and on dark; dashed for i, whole for j. */
export function drawFrame({ ctx, size }, side, t, dashed = false) {
  const [x, y, w, h] = cell(t, size, side), wide = Math.max(1.5, w * 0.07);
  for (const [colour, width, dash] of [["#FFFFFF", 2.4, []], ["#111111", 1, dashed ? [wide * 2.5, wide * 2] : []]]) {
    ctx.setLineDash(dash);
    ctx.strokeStyle = colour;
    ctx.lineWidth = wide * width;
    ctx.strokeRect(x + wide, y + wide, w - 2 * wide, h - 2 * wide);
  }
  ctx.setLineDash([]);
}

export function drawText({ ctx, size }, side, t, text, ink) {
  const [x, y, w, h] = cell(t, size, side);
  ctx.fillStyle = ink;
  ctx.font = `${Math.round(w * (text.length > 2 ? 0.36 : 0.42))}px system-ui, sans-serif`;
  [ctx.textAlign, ctx.textBaseline] = ["center", "middle"];
  ctx.fillText(text, x + w / 2, y + h / 2);
}

/** Black or white, whichever is read better on "#RRGGBB". */
export function inkOn(colour) {
  const [red, green, blue] = [1, 3, 5].map((k) => parseInt(colour.slice(k, k + 2), 16));
  return 0.299 * red + 0.587 * green + 0.114 * blue < 128 ? "#FFFFFF" : "#000000";
}
