// From a file to what a model sees, in the numbers of data/images.py: resized as Pillow does (bilinear, antialiased, 8
// bits after each axis; a canvas has its own way), the middle square, normalised. Planes are (3,H,W) Float32Arrays in
// [0, 1].

const ROWS = 256; // are read at a time: a telephone's photograph is never held whole
const BITS = 22; // of a share, as Pillow counts them: its rounding decides which of two levels a pixel gets
const STRIP = 16; // of an image that is longer than so many times its width only the middle is looked at

/**
 * The middle square of an image file (a Blob), `size` pixels a side: (3,size,size). Throws where it is no image.
 * The levels are Python's, all of them, where the browser decodes the file as Pillow does (Chromium: JPEG, PNG, WebP ...).
 */
export async function readImage(blob, size) {
  // As Pillow opens it: turned as a telephone's photograph says, colours as stored, transparency dropped.
  const how = { imageOrientation: "from-image", colorSpaceConversion: "none", premultiplyAlpha: "none" };
  const bitmap = await createImageBitmap(await inEightBits(blob), how);
  try {
    return resizedSquare(bitmap, size);
  } finally {
    bitmap.close();
  }
}

/** A bitmap resized so that its shorter side has `size` pixels, and of that the middle: (3,size,size). */
function resizedSquare(source, size) {
  const short = Math.min(source.width, source.height);
  const [left, top] = [source.width, source.height].map((v) => Math.max(0, Math.floor((v - STRIP * short) / 2)));
  const width = source.width - 2 * left, height = source.height - 2 * top;
  const [columns, rows] = [width, height].map((length) => {
    const long = Math.floor((size * length) / short), first = halfToEven((long - size) / 2);
    return axisWeights(length, long).slice(first, first + size);
  });
  let read = byCanvas(source);
  const across = new Uint8Array(3 * height * size); // resized along x alone: (3,height,size)
  for (let y = 0; y < height; y += ROWS) {
    const lines = Math.min(ROWS, height - y);
    let rgba = read(left, top + y, width, lines);
    if (!opaque(rgba)) {
      read = byTexture(source) ?? read;
      rgba = read(left, top + y, width, lines);
    }
    for (let c = 0; c < 3; c++)
      for (let line = 0; line < lines; line++)
        for (let o = 0; o < size; o++)
          across[(c * height + y + line) * size + o] = mixed(rgba, line * width * 4 + c, 4, columns[o]);
  }
  const out = new Float32Array(3 * size * size);
  for (let c = 0; c < 3; c++)
    for (let o = 0; o < size; o++)
      for (let x = 0; x < size; x++)
        out[(c * size + o) * size + x] = mixed(across, c * height * size + x, size, rows[o]) / 255;
  return out;
}

/** What one pixel becomes of those at `from`, `from + step`, ...: a level from 0 to 255, in whole numbers alone. */
function mixed(levels, from, step, { first, share }) {
  let sum = 1 << (BITS - 1); // which rounds
  for (let k = 0, at = from + first * step; k < share.length; k++, at += step) sum += share[k] * levels[at];
  return sum >> BITS;
}

function opaque(rgba) {
  for (let k = 3; k < rgba.length; k += 4) if (rgba[k] < 255) return false;
  return true;
}

/** As Python's round: 1.5 is 2, and 2.5 is 2. */
function halfToEven(value) {
  const up = Math.round(value);
  return up - value === 0.5 && up % 2 ? up - 1 : up;
}

/** How each of `out` pixels mixes `length` pixels: the first of them, and their shares, whole parts of 2 ** BITS. */
function axisWeights(length, out) {
  const scale = length / out, reach = Math.max(scale, 1); // a tent at least 1 wide each way
  return Array.from({ length: out }, (_, o) => {
    const centre = (o + 0.5) * scale, first = Math.max(0, Math.floor(centre - reach + 0.5));
    const share = [];
    for (let j = first; j < Math.min(length, Math.floor(centre + reach + 0.5)); j++)
      share.push(Math.max(0, 1 - Math.abs((j - centre + 0.5) * (1 / reach))));
    const sum = share.reduce((a, b) => a + b);
    return { first, share: Int32Array.from(share, (value) => Math.floor(0.5 + (value / sum) * 2 ** BITS)) };
  });
}

/** (x, y, width, height) -> RGBA, through a canvas. Where a pixel is not opaque, its colour comes out changed. */
function byCanvas(source) {
  const canvas = document.createElement("canvas"), context = canvas.getContext("2d", { willReadFrequently: true });
  return (x, y, width, height) => {
    [canvas.width, canvas.height] = [width, height]; // which empties it
    context.drawImage(source, -x, -y);
    return context.getImageData(0, 0, width, height).data;
  };
}

/** The same with the colours of transparent pixels as they are stored. null where the browser has no WebGL. */
function byTexture(source) {
  const gl = document.createElement("canvas").getContext("webgl");
  if (!gl || Math.max(source.width, source.height) > gl.getParameter(gl.MAX_TEXTURE_SIZE)) return null;
  const texture = gl.createTexture();
  gl.bindTexture(gl.TEXTURE_2D, texture);
  gl.pixelStorei(gl.UNPACK_COLORSPACE_CONVERSION_WEBGL, gl.NONE);
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, source);
  gl.bindFramebuffer(gl.FRAMEBUFFER, gl.createFramebuffer());
  gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, texture, 0);
  return (x, y, width, height) => {
    const rgba = new Uint8Array(4 * width * height);
    gl.readPixels(x, y, width, height, gl.RGBA, gl.UNSIGNED_BYTE, rgba);
    return rgba;
  };
}

/** (3,H,W) in [0, 1] -> (3,H,W) as the model takes it. mean, std: of each colour. */
export function normalised(planes, mean, std) {
  const area = planes.length / 3;
  return planes.map((value, k) => (value - mean[Math.floor(k / area)]) / std[Math.floor(k / area)]);
}

/** Place t of the grid then holds patch p[t]. (3,H,W) -> (3,H,W); p has N = side * side numbers. */
export function permuted(planes, p) {
  const size = Math.round(Math.sqrt(planes.length / 3)), side = Math.round(Math.sqrt(p.length)), patch = size / side;
  return planes.map((_, k) => {
    const x = k % size, y = Math.floor(k / size) % size, colour = k - (k % (size * size));
    const from = p[Math.floor(y / patch) * side + Math.floor(x / patch)];
    const [row, column] = [Math.floor(from / side) * patch + (y % patch), (from % side) * patch + (x % patch)];
    return planes[colour + row * size + column];
  });
}

/** A generator of numbers in [0, 1) that gives the same ones for the same seed (Mulberry32). */
export function random(seed) {
  let state = (seed * 0x9e3779b9) >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** The permutation of a seed; 0 leaves all in place. (N,) */
export function permutation(n, seed) {
  const p = Array.from({ length: n }, (_, k) => k), draw = random(seed);
  for (let k = n - 1; seed && k > 0; k--) {
    const other = Math.floor(draw() * (k + 1));
    [p[k], p[other]] = [p[other], p[k]];
  }
  return p;
}

/** Pixels without any picture in them, drawn one by one from [0, 1]: (3,size,size). */
export function noise(size, seed) {
  return Float32Array.from({ length: 3 * size * size }, random(seed));
}
