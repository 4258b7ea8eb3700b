// transformer.js's `product`, four numbers at a time: the same loops as a function of WebAssembly with its SIMD, put
// together here instruction by instruction. Where a browser has none, or a page forbids it, product's own loops stay.

const TILE = { rows: 4, columns: 2 }; // rows of a and of b at a time

/** The module, in the binary form: one function f, which writes o = a b^T scale: (n,c) (m,c) -> (n,m). */
function multiplication() {
  const { rows: R, columns: C } = TILE;
  // Instructions, behind what they take.
  const get = (local) => [0x20, local], set = (local, value) => [value, 0x21, local];
  const number = (value) => [0x41, value]; // below 64
  const plus = (a, b) => [a, b, 0x6a], times = (a, b) => [a, b, 0x6c];
  const loop = (body, local, end) => [0x03, 0x40, body, get(local), end, 0x49, 0x0d, 0, 0x0b]; // while local < end
  const load4 = (address) => [address, 0xfd, 0x00, 4, 0], zero4 = [0xfd, 0x0c, Array(16).fill(0)];
  const plus4 = (a, b) => [a, b, 0xfd, 0xe4, 1], times4 = (a, b) => [a, b, 0xfd, 0xe6, 1];
  const float = { of: (four, k) => [four, 0xfd, 0x1f, k], plus: (a, b) => [a, b, 0x92], times: (a, b) => [a, b, 0x94] };
  const store = (address, value, offset) => [address, value, 0x38, 2, offset];

  // Locals, by number. Given: addresses of a, b and o; n and m, multiples of R and C; bytes of a row of a or b, a
  // multiple of 16; scale. Its own: i, j, k (in bytes), an address in o, those of the rows; then numbers by fours.
  const [a, b, o, n, m, bytes, scale, i, j, k, at] = each(11, (local) => local);
  const x = (r) => at + 1 + r, y = (s) => x(R) + s, p = y(C), u = (s) => p + 1 + s;
  const sum = (r, s) => u(C) + r * C + s, integers = 4 + R + C, fours = 1 + C + R * C;
  const overRows = (make) => each(R, make), overColumns = (make) => each(C, make);

  const tile = [ // R rows of a, C of b
    overRows((r) => set(x(r), plus(get(a), times(plus(get(i), number(r)), get(bytes))))),
    overColumns((s) => set(y(s), plus(get(b), times(plus(get(j), number(s)), get(bytes))))),
    overRows((r) => overColumns((s) => set(sum(r, s), zero4))),
    set(k, number(0)),
    loop([
      overColumns((s) => set(u(s), load4(plus(get(y(s)), get(k))))),
      overRows((r) => [
        set(p, load4(plus(get(x(r)), get(k)))),
        overColumns((s) => set(sum(r, s), plus4(get(sum(r, s)), times4(get(p), get(u(s)))))),
      ]),
      set(k, plus(get(k), number(16))),
    ], k, get(bytes)),
    overRows((r) => [
      set(at, plus(get(o), times(plus(times(plus(get(i), number(r)), get(m)), get(j)), number(4)))),
      overColumns((s) => {
        const [first, second, third, fourth] = each(4, (part) => float.of(get(sum(r, s)), part));
        const whole = float.plus(float.plus(first, second), float.plus(third, fourth));
        return store(get(at), float.times(whole, get(scale)), 4 * s);
      }),
    ]),
  ];
  const rows = [set(i, number(0)), loop([tile, set(i, plus(get(i), number(R)))], i, get(n))];
  const all = [set(j, number(0)), loop([rows, set(j, plus(get(j), number(C)))], j, get(m))];

  const [INTEGER, FLOAT, FOUR] = [0x7f, 0x7d, 0x7b];
  const counted = (...content) => { // its length in bytes before it
    const flat = content.flat(Infinity);
    return [(flat.length & 127) | 128, flat.length >> 7, ...flat];
  };
  return Uint8Array.from([
    0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, // "\0asm", version 1
    1, counted(1, 0x60, 7, Array(6).fill(INTEGER), FLOAT, 0), // a type: six integers and a float, to nothing
    2, counted(1, 1, 0x65, 1, 0x6d, 2, 0, 1), // import e.m, a memory
    3, counted(1, 0), // a function of that type
    7, counted(1, 1, 0x66, 0, 0), // export it as f
    10, counted(1, counted(2, integers, INTEGER, fours, FOUR, all, 0x0b)), // its locals, its code
  ].flat(Infinity));
}

/** `product` by that function. Throws where there is no WebAssembly, or no SIMD in it. */
function quickProduct() {
  const PAGE = 65536, memory = new WebAssembly.Memory({ initial: 1 });
  const { f } = new WebAssembly.Instance(new WebAssembly.Module(multiplication()), { e: { m: memory } }).exports;
  const up = (value, step) => Math.ceil(value / step) * step;
  return (a, b, scale) => {
    const n = up(a.rows, TILE.rows), m = up(b.rows, TILE.columns), c = up(a.columns, 4), toB = n * c, toO = toB + m * c;
    const missing = 4 * (toO + n * m) - memory.buffer.byteLength;
    if (missing > 0) memory.grow(Math.ceil(missing / PAGE));
    const numbers = new Float32Array(memory.buffer), out = matrix(a.rows, b.rows);
    if (c > a.columns) numbers.fill(0, 0, toO); // what stands beside a row adds nothing
    copyRows(a.data, a.columns, numbers, c, a.rows);
    copyRows(b.data, b.columns, numbers.subarray(toB), c, b.rows);
    f(0, 4 * toB, 4 * toO, n, m, 4 * c, scale);
    copyRows(numbers.subarray(toO), m, out.data, b.rows, a.rows);
    return out;
  };
}

/** The first `rows` rows, each `wide` numbers there and `wideTo` here. */
function copyRows(from, wide, to, wideTo, rows) {
  if (wide === wideTo) return to.set(from.subarray(0, rows * wide));
  const shared = Math.min(wide, wideTo);
  for (let i = 0; i < rows; i++) to.set(from.subarray(i * wide, i * wide + shared), i * wideTo);
}

try {
  takeProduct(quickProduct());
} catch {
  // product's own loops stay
}
