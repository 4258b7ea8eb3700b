// On a page without a kernel: what it would answer, from what the page carries along (see carry() in Python). Stands
// before explorer.js in one module. Cuts that were moved are resized here, by the browser: an approximation.
function answererWithoutKernel(model) {
  const { picture, patch, side } = model.get("about");
  const carried = model.get("carried"), seeds = carried.seeds ?? [];
  const sheets = new Map(); // by seed: the picture of all its pre-rendered cells

  const image = decoded(picture);

  /** The cuts of a seed; shared: the rows' cuts both ways. */
  function drawn({ m, seed, shared }) {
    const [rows, columns] = carried.cuts[m][seeds.indexOf(seed)];
    return [rows, shared ? rows : columns];
  }

  function pixels(size, paint) {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = size;
    const context = canvas.getContext("2d", { willReadFrequently: true });
    paint(context);
    return new DataView(context.getImageData(0, 0, size, size).data.buffer);
  }

  /** The kernel's own cells, one tile of a sheet: columns are crop, jitter and grey as bits, rows are shared. */
  async function rendered({ m, seed, shared, crop, jitter, grey }) {
    const at = seeds.indexOf(seed), tile = crop + 2 * jitter + 4 * grey, size = m * patch;
    if (!sheets.has(seed)) sheets.set(seed, decoded(carried.sheets[at]));
    const sheet = await sheets.get(seed);
    const cells = pixels(size, (context) =>
      context.drawImage(sheet, tile * size, shared * size, size, size, 0, 0, size, size));
    return { cells, changes: carried.changes[at][tile], approximate: false };
  }

  async function resized({ m }, cuts) {
    const whole = await image, size = m * patch;
    const [rows, columns] = cuts.map((axis) => [0, ...axis, side]);
    const cells = pixels(size, (context) => {
      context.imageSmoothingQuality = "high";
      for (let y = 0; y < m; y++) {
        for (let x = 0; x < m; x++) {
          const [height, width] = [rows[y + 1] - rows[y], columns[x + 1] - columns[x]].map((count) => count * patch);
          context.drawImage(whole, columns[x] * patch, rows[y] * patch, width, height, x * patch, y * patch, patch, patch);
        }
      }
    });
    return { cells, changes: Array(m * m).fill(""), approximate: true };
  }

  return async function answer(asked) {
    if (asked.cuts === null && !seeds.includes(asked.seed)) {
      const error = `This page has the cuts of these seeds: ${seeds.join(", ")}.`;
      return { ...model.get("shown"), number: asked.number, error };
    }
    const cuts = asked.cuts ?? drawn(asked);
    const own = asked.m === carried.m && seeds.includes(asked.seed) && String(cuts) === String(drawn(asked));
    const made = own ? await rendered(asked) : await resized(asked, cuts);
    return { number: asked.number, m: asked.m, cuts, error: "", ...made };
  };
}

