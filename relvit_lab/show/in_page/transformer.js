// Section 3, eq. 1-4, 8 and 9, once more: method/backbones/vit.py and method/heads.py for one image in a browser, in
// plain loops. Nothing is imported. A matrix is { rows, columns, data }, data a Float32Array, row by row.
//
// N patches of P x P pixels, D dimensions, L blocks, h heads of d = D / h dimensions each; T = 1 + N tokens, CLS first;
// K outputs of a task's head, r the rank of a factored one.

// -- eq. 1-4: from an image to its tokens --------------------------------------------------------------------------

/**
 * The whole way: what a model, as `readModel` gives it, says about an image (3,H,W), normalised, a Float32Array.
 *
 * Gives feature y (1,D) of eq. 4; tokens (N,D) behind the last norm; embedded, z of eq. 1, and layers, z behind each
 * block, (T,D); attention, L times h maps (T,T), each row of which sums to 1; scores, by task: K matrices (N,N) of
 * eq. 8 or one matrix (N,K) of eq. 9; logits (1,classes), or null without a classifier.
 */
export function forward(model, image) {
  const { size, patch, weights: w } = model;
  const x = patches(image, size, patch); // (3,H,W) -> (N,3*P*P)
  let z = below(w["cls_token"], linear(x, w, "patch_embed.proj")); // (1,D) (N,D) -> (T,D)
  if (w["pos_embed"]) z = add(z, w["pos_embed"]); // eq. 1: E_pos is (T,D)
  const embedded = z, layers = [], attention = [];
  for (let l = 0; l < model.depth; l++) {
    const block = `blocks.${l}.`;
    const looked = msa(layerNorm(z, w, `${block}norm1`, model.eps), w, `${block}attn`, model.heads);
    z = add(looked.out, z); // eq. 2
    z = add(mlp(layerNorm(z, w, `${block}norm2`, model.eps), w, `${block}mlp`), z); // eq. 3, with MLP
    attention.push(looked.maps);
    layers.push(z);
  }
  z = layerNorm(z, w, "norm", model.eps);
  const feature = rows(z, 0, 1), tokens = rows(z, 1, z.rows); // eq. 4: (1,D) and (N,D)
  const scores = {};
  for (const [name, { form, outputs }] of Object.entries(model.tasks))
    scores[name] = HEADS[form](tokens, w, `heads.${name}`, outputs);
  const logits = w["classifier.weight"] ? linear(feature, w, "classifier") : null;
  return { feature, tokens, embedded, layers, attention, scores, logits };
}

/** Section 3: (3,H,W) -> (N,3*P*P), patch by patch, row by row of the grid; in each, one colour after the other. */
export function patches(image, size, patch) {
  const side = size / patch, x = matrix(side * side, 3 * patch * patch);
  for (let n = 0, at = 0; n < x.rows; n++)
    for (let c = 0; c < 3; c++)
      for (let y = 0; y < patch; y++) {
        const from = (c * size + Math.floor(n / side) * patch + y) * size + (n % side) * patch;
        for (let k = 0; k < patch; k++) x.data[at++] = image[from + k];
      }
  return x;
}

/** Multi-head self-attention: z (T,D) -> out (T,D), and the h maps softmax(q k^T / sqrt(d)), (T,T) each. */
function msa(z, w, name, heads) {
  const qkv = linear(z, w, `${name}.qkv`), D = z.columns, d = D / heads, maps = []; // (T,D) -> (T,3D)
  const mixed = matrix(z.rows, D);
  for (let h = 0; h < heads; h++) {
    const [q, k, v] = [0, D, 2 * D].map((first) => columns(qkv, first + h * d, d)); // (T,d) each
    const map = softmax(product(q, k, 1 / Math.sqrt(d))); // (T,d) (d,T) -> (T,T)
    put(mixed, product(map, transposed(v)), h * d); // (T,T) (T,d) -> (T,d), beside the other heads'
    maps.push(map);
  }
  return { out: linear(mixed, w, `${name}.proj`), maps };
}

/** (T,D) -> (T,4D) -> (T,D). */
function mlp(z, w, name) {
  const hidden = linear(z, w, `${name}.fc1`);
  for (let k = 0; k < hidden.data.length; k++) hidden.data[k] = gelu(hidden.data[k]);
  return linear(hidden, w, `${name}.fc2`);
}

/** Each row to mean 0 and variance 1, then scaled and shifted. (T,D) -> (T,D) */
function layerNorm(z, w, name, eps) {
  const out = matrix(z.rows, z.columns), D = z.columns;
  const scale = w[`${name}.weight`].data, shift = w[`${name}.bias`].data;
  for (let t = 0; t < z.rows; t++) {
    let mean = 0, variance = 0;
    for (let k = 0; k < D; k++) mean += z.data[t * D + k];
    mean /= D;
    for (let k = 0; k < D; k++) variance += (z.data[t * D + k] - mean) ** 2;
    const by = 1 / Math.sqrt(variance / D + eps);
    for (let k = 0; k < D; k++) out.data[t * D + k] = (z.data[t * D + k] - mean) * by * scale[k] + shift[k];
  }
  return out;
}

/** x Phi(x), Phi from the error function by Abramowitz and Stegun 7.1.26 (off by 1.5e-7 at most). */
function gelu(x) {
  const a = Math.abs(x) / Math.SQRT2, t = 1 / (1 + 0.3275911 * a);
  const series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  const tail = (series * Math.exp(-a * a)) / 2; // 1 - Phi(|x|)
  return x * (x < 0 ? tail : 1 - tail);
}

/** Each row: exp(x) / sum exp(x). (n,m) -> (n,m) */
export function softmax(x) {
  const out = matrix(x.rows, x.columns), m = x.columns;
  for (let i = 0; i < x.rows; i++) {
    const row = x.data.subarray(i * m, (i + 1) * m);
    let largest = -Infinity, sum = 0;
    for (let j = 0; j < m; j++) largest = Math.max(largest, row[j]);
    for (let j = 0; j < m; j++) sum += out.data[i * m + j] = Math.exp(row[j] - largest);
    for (let j = 0; j < m; j++) out.data[i * m + j] /= sum;
  }
  return out;
}

// -- section 3.2, eq. 8 and 9: the heads ---------------------------------------------------------------------------

const HEADS = {
  /** Eq. 8: K scores for every pair, z W_k z^T / sqrt(D). [k] is (N,N); its [i,j] is about i, seen from j. */
  scores(z, w, name, outputs) {
    const side = w[`${name}.w.weight`], D = z.columns; // all W_k^T, one below the other: (K*D,D)
    return each(outputs, (k) => product(product(z, rows(side, k * D, (k + 1) * D)), z, 1 / Math.sqrt(D)));
  },
  /** The same with W_k = Q_k K_k^T of rank r: z Q_k (z K_k)^T / sqrt(r). */
  factored(z, w, name, outputs) {
    const q = linear(z, w, `${name}.q`), k = linear(z, w, `${name}.k`), r = q.columns / outputs; // (N,D) -> (N,K*r)
    return each(outputs, (o) => product(columns(q, o * r, r), columns(k, o * r, r), 1 / Math.sqrt(r)));
  },
  /** Eq. 9: K scores for every token, z W + b. (N,D) -> (N,K) */
  tokens(z, w, name) {
    return linear(z, w, `${name}.fc`);
  },
};

// -- matrices ------------------------------------------------------------------------------------------------------

function matrix(rows, columns, data = new Float32Array(rows * columns)) {
  return { rows, columns, data };
}

function each(count, make) {
  return Array.from({ length: count }, (_, k) => make(k));
}

/** x W^T + b, W as torch's Linear keeps it (a convolution over whole patches is the same): (n,c) (m,c) -> (n,m) */
function linear(x, w, name) {
  const out = product(x, w[`${name}.weight`]), bias = w[`${name}.bias`]?.data;
  if (bias) for (let i = 0, k = 0; i < out.rows; i++) for (let j = 0; j < out.columns; j++) out.data[k++] += bias[j];
  return out;
}

export let quicker = null;
/** Of now on `product` is what this makes of (a, b, scale), as quick_product.js does it; null: the loops below. */
export function takeProduct(other) {
  quicker = other;
}

/** a b^T scale: (n,c) (m,c) -> (n,m). Four rows of a and two of b at a time: what is read serves several times. */
function product(a, b, scale = 1) {
  if (quicker) return quicker(a, b, scale);
  const n = a.rows, m = b.rows, c = a.columns, x = a.data, y = b.data, out = matrix(n, m), o = out.data;
  for (let j = 0; j < m; j += 2) {
    const j1 = Math.min(j + 1, m - 1), y0 = j * c, y1 = j1 * c; // where there is no next one, the last once more
    for (let i = 0; i < n; i += 4) {
      const i1 = Math.min(i + 1, n - 1), i2 = Math.min(i + 2, n - 1), i3 = Math.min(i + 3, n - 1);
      const x0 = i * c, x1 = i1 * c, x2 = i2 * c, x3 = i3 * c;
      let s00 = 0, s01 = 0, s10 = 0, s11 = 0, s20 = 0, s21 = 0, s30 = 0, s31 = 0;
      for (let k = 0; k < c; k++) {
        const u = y[y0 + k], v = y[y1 + k], p = x[x0 + k], q = x[x1 + k], r = x[x2 + k], s = x[x3 + k];
        s00 += p * u, s01 += p * v, s10 += q * u, s11 += q * v, s20 += r * u, s21 += r * v, s30 += s * u, s31 += s * v;
      }
      o[i * m + j] = s00 * scale, o[i * m + j1] = s01 * scale;
      o[i1 * m + j] = s10 * scale, o[i1 * m + j1] = s11 * scale;
      o[i2 * m + j] = s20 * scale, o[i2 * m + j1] = s21 * scale;
      o[i3 * m + j] = s30 * scale, o[i3 * m + j1] = s31 * scale;
    }
  }
  return out;
}

function add(a, b) {
  const out = matrix(a.rows, a.columns);
  for (let k = 0; k < out.data.length; k++) out.data[k] = a.data[k] + b.data[k];
  return out;
}

function transposed(a) {
  const out = matrix(a.columns, a.rows);
  for (let i = 0; i < a.rows; i++)
    for (let j = 0; j < a.columns; j++) out.data[j * a.rows + i] = a.data[i * a.columns + j];
  return out;
}

/** Rows first to last - 1: a view. */
function rows(a, first, last) {
  return matrix(last - first, a.columns, a.data.subarray(first * a.columns, last * a.columns));
}

function columns(a, first, count) {
  const out = matrix(a.rows, count);
  for (let i = 0; i < a.rows; i++)
    out.data.set(a.data.subarray(i * a.columns + first, i * a.columns + first + count), i * count);
  return out;
}

/** Write part (n,m) into the columns of a from `first` on. */
function put(a, part, first) {
  for (let i = 0; i < a.rows; i++) a.data.set(rows(part, i, i + 1).data, i * a.columns + first);
}

function below(a, b) {
  const out = matrix(a.rows + b.rows, a.columns);
  out.data.set(a.data);
  out.data.set(b.data, a.data.length);
  return out;
}

// -- the model as the page carries it ------------------------------------------------------------------------------

/** What `packed` (pack.py) wrote, with its weights as matrices by name; a backbone's have no prefix. */
export function readModel(about) {
  const bytes = fromBase64(about.safetensors).buffer, length = Number(new DataView(bytes).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(bytes, 8, length))), weights = {};
  for (const [name, { shape, data_offsets: [first, last] }] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    const halves = new Uint16Array(bytes.slice(8 + length + first, 8 + length + last));
    const lines = name.endsWith("_embed") ? shape[1] : shape.length > 1 ? shape[0] : 1; // E_pos is (1,T,D)
    weights[name.replace(/^backbone\./, "")] = matrix(lines, halves.length / lines, fromHalves(halves));
  }
  return { ...about, safetensors: null, weights };
}

export function fromBase64(text) {
  const letters = atob(text), bytes = new Uint8Array(letters.length);
  for (let k = 0; k < bytes.length; k++) bytes[k] = letters.charCodeAt(k);
  return bytes;
}

/** IEEE 754 binary16: sign (1 bit), exponent (5; 0: the smallest numbers, without a leading 1), fraction (10). */
function fromHalves(halves) {
  const powers = each(31, (exponent) => 2 ** (Math.max(exponent, 1) - 25)), out = new Float32Array(halves.length);
  for (let k = 0; k < out.length; k++) {
    const exponent = (halves[k] >> 10) & 31, value = ((halves[k] & 1023) + (exponent ? 1024 : 0)) * powers[exponent];
    out[k] = halves[k] >> 15 ? -value : value;
  }
  return out;
}
