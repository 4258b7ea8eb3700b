// What the two explorers of tokens share beside canvas.js: the words and keys of a grid, and the picture under its colours.
const KEYS = "Arrow keys move, Home and End go along the row, Page Up and Page Down along the column.";
const TOUCH = matchMedia("(hover: none)").matches; // a telephone: nothing hovers, a tap is all there is

/** Enter and space pin the anchor or let it go, Escape lets it go. Whether the key is one of these. */
function pins({ key }, state) {
  if (!["Enter", " ", "Escape"].includes(key)) return false;
  state.pinned = key !== "Escape" && !state.pinned;
  return true;
}

/** The picture with patch patchAt(t) in place placeOf(t), and paler, the more colour (0 to 1) is to lie over it. */
function underlay(picture, side, size, colour, patchAt, placeOf, smooth) {
  const plain = layer(size, (ctx) => {
    const c = picture.width / side;
    ctx.imageSmoothingEnabled = smooth;
    ctx.imageSmoothingQuality = "high";
    for (let t = 0; t < side * side; t++) {
      const from = patchAt(t);
      ctx.drawImage(picture, (from % side) * c, Math.floor(from / side) * c, c, c, ...cell(placeOf(t), size, side));
    }
  });
  const pale = layer(size, (ctx) => { // the more colour lies over it, the less it has itself,
    ctx.filter = `saturate(${1 - colour})`;
    ctx.drawImage(plain, 0, 0);
    ctx.fillStyle = `rgba(255, 255, 255, ${colour / 2})`; // and lighter, or it darkens them
    ctx.fillRect(0, 0, size, size);
  });
  return { plain, pale };
}

/** build() whenever the panels have another size than they were drawn for (a zoom or another screen, too: more pixels in
 * the same space). Gives what ends that. */
function onResize(panels, build) {
  const fit = () => panels.some(({ canvas, size }) => Math.round(canvas.clientWidth * devicePixelRatio) !== size) && build();
  const watcher = new ResizeObserver(fit);
  window.addEventListener("resize", fit);
  for (const { canvas } of panels) watcher.observe(canvas);
  return () => {
    watcher.disconnect();
    window.removeEventListener("resize", fit);
  };
}

