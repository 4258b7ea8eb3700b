// A grey PNG of 16 bits: a browser keeps the upper 8, data/images.py as many as are filled. Here such a file becomes
// one of 8 bits, which the browser then reads as any other.

const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];
const DEPTHS = [8, 10, 12, 14, 16]; // bits that cameras and scanners fill
// Interlaced, a file holds seven images: the first pixel of each, x and y, and the steps to the next.
const PASSES = [[0, 0, 8, 8], [4, 0, 8, 8], [0, 4, 4, 8], [2, 0, 4, 4], [0, 2, 2, 4], [1, 0, 2, 2], [0, 1, 1, 2]];

/** The same image (a Blob) with 8 bits, where the file is a grey PNG of 16; any other file as it is. */
export async function inEightBits(blob) {
  const head = new DataView(await blob.slice(0, 33).arrayBuffer());
  if (head.byteLength < 33 || SIGNATURE.some((byte, k) => head.getUint8(k) !== byte)) return blob;
  const [width, height] = [16, 20].map((at) => head.getUint32(at)), [depth, colour] = [24, 25].map((at) => head.getUint8(at));
  if (depth !== 16 || colour !== 0) return blob;
  const parts = chunks(new Uint8Array(await blob.arrayBuffer())), of = (name) => parts.filter((one) => one.name === name);
  const bytes = await through(new DecompressionStream("deflate"), of("IDAT").map(({ data }) => data));
  const values = pixels(bytes, width, height, head.getUint8(28) ? PASSES : [[0, 0, 1, 1]]);
  const most = values.reduce((a, b) => Math.max(a, b), 0), full = 2 ** DEPTHS.find((bits) => most < 2 ** bits) - 1;
  const rows = new Uint8Array(height * (1 + width)); // each begins with its filter, 0: none
  for (let k = 0; k < values.length; k++)
    rows[k + 1 + Math.floor(k / width)] = Math.floor((values[k] * 255) / full);
  const header = new Uint8Array(head.buffer.slice(16, 29));
  [header[8], header[12]] = [8, 0]; // bits; not interlaced
  const data = await through(new CompressionStream("deflate"), [rows]);
  const turned = of("eXIf").map((one) => chunk("eXIf", one.data)); // how the image is to be turned
  return new Blob([Uint8Array.from(SIGNATURE), chunk("IHDR", header), ...turned, chunk("IDAT", data),
    chunk("IEND", new Uint8Array(0))], { type: "image/png" });
}

async function through(stream, parts) {
  return new Uint8Array(await new Response(new Blob(parts).stream().pipeThrough(stream)).arrayBuffer());
}

function chunks(file) {
  const view = new DataView(file.buffer), found = [];
  for (let at = 8, length; at + 12 <= file.length; at += 12 + length) {
    length = view.getUint32(at);
    const name = String.fromCharCode(...file.subarray(at + 4, at + 8));
    found.push({ name, data: file.subarray(at + 8, at + 8 + length) });
  }
  return found;
}

/** Filtered rows of 2 bytes a pixel -> (H,W) values. Each byte was written less what its neighbours foretell. */
function pixels(bytes, width, height, passes) {
  const values = new Uint16Array(width * height);
  let at = 0;
  for (const [x0, y0, dx, dy] of passes) {
    const long = 2 * Math.ceil((width - x0) / dx);
    let above = new Uint8Array(Math.max(0, long));
    for (let y = y0; y < height && long > 0; y += dy) {
      const filter = bytes[at], row = bytes.subarray(at + 1, at + 1 + long);
      if (row.length < long) throw new Error("the file ends too early");
      for (let k = 0; k < long; k++) {
        const [a, b, c] = k < 2 ? [0, above[k], 0] : [row[k - 2], above[k], above[k - 2]];
        row[k] += filter === 1 ? a : filter === 2 ? b : filter === 3 ? (a + b) >> 1 : filter === 4 ? paeth(a, b, c) : 0;
      }
      for (let k = 0; k < long; k += 2) values[y * width + x0 + (k / 2) * dx] = (row[k] << 8) | row[k + 1];
      [above, at] = [row, at + 1 + long];
    }
  }
  return values;
}

/** Of left, above and above left the one nearest to left + above - above left. */
function paeth(a, b, c) {
  const [toA, toB, toC] = [b - c, a - c, a + b - 2 * c].map(Math.abs);
  return toA <= toB && toA <= toC ? a : toB <= toC ? b : c;
}

/** Length, name, data, and the CRC-32 of name and data. */
function chunk(name, data) {
  const out = new Uint8Array(12 + data.length), view = new DataView(out.buffer);
  view.setUint32(0, data.length);
  out.set([...name].map((letter) => letter.charCodeAt(0)), 4);
  out.set(data, 8);
  let crc = -1;
  for (let k = 4; k < 8 + data.length; k++) {
    crc ^= out[k];
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  view.setUint32(8 + data.length, ~crc >>> 0);
  return out;
}
