// What try.html draws of patches, on a canvas of `size` pixels a side that shows a grid of `side` x `side` places.

/** As many pixels as the screen has in the canvas's place; gives its context and its side. */
export function fresh(canvas) {
  const size = Math.max(1, Math.round(canvas.clientWidth * devicePixelRatio));
  canvas.width = canvas.height = size;
  return { ctx: canvas.getContext("2d"), size };
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

/** A colour in each place, and lines between them, so that equal ones stay apart. */
export function drawField({ ctx, size }, side, colour) {
  for (let t = 0; t < side * side; t++) {
    ctx.fillStyle = colour(t);
    ctx.fillRect(...cell(t, size, side));
  }
  gridLines(ctx, size, side, 1, "#FFFFFFB0");
}

/** In a place an arrow towards where relation 0 to 8 of eq. 5 lies, or a cross. */
export function drawSign({ ctx, size }, side, t, relation, cross, ink) {
  const [x, y, w] = cell(t, size, side);
  sign(ctx, x, y, w, relation, cross, ink);
}

/** Dashed for i, whole for j. */
export function drawFrame({ ctx, size }, side, t, dashed = false) {
  const [x, y, w, h] = cell(t, size, side), wide = Math.max(1.5, w * 0.07);
  frame(ctx, x + wide, y + wide, w - 2 * wide, h - 2 * wide, wide, dashed);
}

export function drawText({ ctx, size }, side, t, text, ink) {
  const [x, y, w, h] = cell(t, size, side);
  ctx.fillStyle = ink;
  ctx.font = `${Math.round(w * (text.length > 2 ? 0.36 : 0.42))}px system-ui, sans-serif`;
  [ctx.textAlign, ctx.textBaseline] = ["center", "middle"];
  ctx.fillText(text, x + w / 2, y + h / 2);
}
