// From a file to what a model sees, in the numbers of show/model_input.py and method/resample.py: the centre square, resized
// (bilinear, antialias; a canvas has its own way), normalised. Planes are (3,H,W) Float32Arrays in [0, 1].

const STRIP = 256; // rows that are read at a time: a telephone's photograph is never held whole

/** The centre square of an image file (a Blob), `size` pixels a side: (3,size,size). Throws where it is no image. */
export async function readImage(blob, size) {
  // As Pillow opens it: turned as a telephone's photograph says, colours as stored, transparency dropped.
  const how = { imageOrientation: "from-image", colorSpaceConversion: "none", premultiplyAlpha: "none" };
  const bitmap = await createImageBitmap(blob, how);
  try {
    return resizedSquare(bitmap, size);
  } finally {
    bitmap.close();
  }
}

/** Anything that a canvas can draw (a bitmap, a video): its centre square, (3,size,size). */
export function resizedSquare(source, size) {
  const width = source.videoWidth ?? source.width, height = source.videoHeight ?? source.height;
  const side = Math.min(width, height), left = Math.floor((width - side) / 2), top = Math.floor((height - side) / 2);
  let read = byCanvas(source);
  const strip = Math.min(STRIP, side), mix = axisWeights(side, size);
  const across = new Float32Array(3 * side * size); // resized along x alone: (3,side,size)
  for (let y = 0; y < side; y += strip) {
    const lines = Math.min(strip, side - y);
    let rgba = read(left, top + y, side, lines);
    if (rgba.some((value, k) => k % 4 === 3 && value < 255)) {
      read = byTexture(source) ?? read;
      rgba = read(left, top + y, side, lines);
    }
    for (let c = 0; c < 3; c++)
      for (let line = 0; line < lines; line++)
        for (let o = 0; o < size; o++) {
          const { first, share } = mix[o];
          let sum = 0;
          for (let k = 0; k < share.length; k++) sum += share[k] * rgba[(line * side + first + k) * 4 + c];
          across[(c * side + y + line) * size + o] = sum / 255;
        }
  }
  const out = new Float32Array(3 * size * size);
  for (let c = 0; c < 3; c++)
    for (let o = 0; o < size; o++)
      for (let x = 0; x < size; x++) {
        const { first, share } = mix[o];
        let sum = 0;
        for (let k = 0; k < share.length; k++) sum += share[k] * across[(c * side + first + k) * size + x];
        out[(c * size + o) * size + x] = sum;
      }
  return out;
}

/** How each of `out` pixels mixes `length` pixels: the first of them, and their shares. As resample.axis_weights. */
function axisWeights(length, out) {
  const scale = length / out, reach = Math.max(scale, 1); // a tent at least 1 wide each way
  return Array.from({ length: out }, (_, o) => {
    const centre = (o + 0.5) * scale, first = Math.max(0, Math.floor(centre - reach));
    const share = [];
    for (let j = first; j < Math.min(length, Math.ceil(centre + reach)); j++)
      share.push(Math.max(0, 1 - Math.abs(j + 0.5 - centre) / reach));
    const sum = share.reduce((a, b) => a + b);
    return { first, share: share.map((value) => value / sum) };
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
