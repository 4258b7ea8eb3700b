// The tour: each step one sentence, one thing to do, one picture that answers. An entry gives the words and draws.

const HEAT = fromBase64(carried.heat); // 256 colours
const heat = (share) => {
  const k = 3 * between(0, Math.round(255 * share), 255);
  const hex = (c) => HEAT[k + c].toString(16).padStart(2, "0");
  return `#${hex(0)}${hex(1)}${hex(2)}`;
};
const percent = (share, digits = 0) => `${(100 * share).toFixed(digits)} %`;
const signed = (value, digits = 2) => value.toFixed(digits).replace("-", "−");
const ARROWS = "↖↑↗←·→↙↓↘";
const SHOWN = [["answers", "answers"], ["truth", "truth"], ["score", "one score"], ["attention", "attention"]];
const CHEAT = findCheat();

/** Two models of one grid, one without positional embeddings and one with: [honest, cheat], or null. */
function findCheat() {
  const fits = (a, b) => a.size === b.size && a.side === b.side && "sprel" in a.tasks && "sprel" in b.tasks;
  for (const [h, honest] of carried.models.entries())
    for (const [c, cheat] of carried.models.entries())
      if (!honest.positions && cheat.positions && fits(honest, cheat)) return [h, c];
  return null;
}

// -- pictures ------------------------------------------------------------------------------------------------------

/** Numbers in colours from the lowest to the highest, in the places of the grid. */
function drawValues(place, a, values, ends = [Math.min(...values), Math.max(...values)]) {
  drawField(place, a.side, (t) => heat((values[t] - ends[0]) / (ends[1] - ends[0] || 1)));
}

/** What is said of all places seen from j: answers with their mistakes crossed, or the truth. */
function drawAnswers(place, a, task, j, asked = answer) {
  const { kind, low, high, names } = about(a.at).tasks[task], isAnswer = asked === answer;
  const values = Array.from({ length: a.N }, (_, i) => asked(a, task, i, j));
  const colours = values.map((value, i) => kind === "relations" ? carried.colours[value]
    : kind === "places" ? (isAnswer && isWrong(a, task, i, j) ? WRONG : PLAIN)
    : heat((value - low) / (high - low || 1)));
  drawField(place, a.side, (t) => colours[t]);
  for (const [t, value] of values.entries()) {
    const wrong = isAnswer && isWrong(a, task, t, j), ink = inkOn(rgb(colours[t]));
    if (kind === "places") drawText(place, a.side, t, String(value), ink);
    else if (kind === "relations" || wrong) drawSign(place, a.side, t, value, wrong, ink);
    else if (kind === "classes") drawText(place, a.side, t, names[value] || String(value), ink);
  }
}

function marks(place, a, withI = false) {
  drawFrame(place, a.side, s.j);
  if (withI) drawFrame(place, a.side, s.i, true);
}

/** The model's answers on where all patches lie, seen from j, which is framed. */
function drawRelations(place, a) {
  drawAnswers(place, a, "sprel", s.j);
  marks(place, a);
}

/** Rows of a bar chart, in HTML: [name, share of the full width, text, whether it is marked]. */
function bars(entries, label) {
  const long = entries.some(([name]) => name.length > 4) ? " long" : "";
  return element("ul", { class: `bars${long}`, "aria-label": label }, ...entries.map(([name, share, text, marked]) =>
    element("li", marked ? { class: "marked" } : {}, element("span", { class: "name" }, name),
      element("span", { class: "bar" }, element("i", { style: `width: ${(100 * share).toFixed(2)}%` })),
      element("span", { class: "number" }, text))));
}

// -- controls ------------------------------------------------------------------------------------------------------

/** One choice of several, [value, text] each, for an entry of the state. */
const choice = (title, name, choices) => radios(title, name, choices, (value) =>
  change({ [name]: typeof s[name] === "number" ? Number(value) : value }), s[name]);

const blocks = () => choice("Block", "block", Array.from({ length: about().depth }, (_, k) => [k + 1, String(k + 1)]));
/** What each score is called; the nine of eq. 5 with their arrow. */
const scoreNames = (task) => {
  const { kind, names } = about().tasks[task];
  return kind === "relations" ? names.map((name, k) => `${ARROWS[k]} ${name}`) : names;
};
const scores = (task = "sprel") => choice("Score", "k", scoreNames(task).map((name, k) => [k, name]));
const picks = () => choice("A tap chooses", "picks", [["j", "j, framed"], ["i", "i, dashed"]]);
const shuffles = () => [
  button(s.shuffle ? "Shuffle again" : "Shuffle", () => reorder((s.shuffle % 999) + 1)),
  ...(s.shuffle ? [button("Put them back", () => reorder(0))] : []),
];

// -- words ---------------------------------------------------------------------------------------------------------

/** Pair (i, j), or place i, in words: what is said, and what is true. */
function inWords(a, task, i, j) {
  const t = about(a.at).tasks[task], given = answer(a, task, i, j), real = truth(a, task, i, j);
  const much = (value) => ((value - t.low) / (t.high - t.low)) * t.most; // in patches, or in degrees
  const name = (value) => t.kind === "relations" ? `${carried.words[value].toLowerCase()} patch ${j}`
    : t.kind !== "values" ? t.names[value] || `class ${value}`
    : t.most === 1 ? signed(value)
    : t.digits ? `${signed(much(value), 1)} patches apart` : `${signed(much(value), 0)}° apart`;
  const who = t.pairs ? (t.kind === "relations" ? `Patch ${i} lies` : `Patches ${i} and ${j}:`) : `Place ${i}:`;
  const right = isWrong(a, task, i, j) ? "a mistake, it is " + name(real) : "right";
  return `${who} ${name(given)}, says the model; ${right}.`;
}

function ofAll(a, task) {
  const { right, loss, common, of } = summary(a, task), { pairs, kind, tolerance } = about(a.at).tasks[task];
  const what = `${percent(right, 1)} of all ${of} ${pairs ? "pairs" : "places"}`;
  return kind === "values" ? `${what} are right to ${tolerance}; mean squared error ${loss.toFixed(3)}.`
    : `${what} are right; always saying the commonest class: ${percent(common, 1)}.`;
}

const seenFrom = (a, j) => {
  const wrong = Array.from({ length: a.N }, (_, i) => isWrong(a, "sprel", i, j)).filter(Boolean).length;
  return `Seen from patch ${j}, ${a.N - wrong} of ${a.N} answers are right.`;
};

// -- the steps -----------------------------------------------------------------------------------------------------

const STEPS = [
  {
    title: "Cut",
    sentence: (m) =>
      `The model never sees the whole image, only ${m.side ** 2} patches of ${m.patch} × ${m.patch} pixels.`,
    todo: "Choose a patch: tap it, or use the arrow keys.",
    draw(place, a) {
      const m = about(), x = patches(a.planes, m.size, m.patch), long = x.columns;
      drawPatches(place, x.data.slice(s.j * long, (s.j + 1) * long), m.patch);
    },
    caption: () => `Patch ${s.j}, all that its token starts from`,
    said() {
      const { patch } = about();
      return `Patch ${s.j} is ${3 * patch ** 2} numbers: ${patch} × ${patch} pixels in three colours.`;
    },
  },
  {
    title: "Token",
    sentence: (m) =>
      `Each patch becomes a token, ${m.dim} numbers, and ${m.depth} blocks mix into it what the others hold.`,
    todo: "Compare the tokens before the blocks and after them.",
    controls: () => [choice("Tokens", "after", [[0, "before the blocks"], [1, "after them"]])],
    values(a) {
      const z = s.after ? a.tokens : a.embedded, skip = s.after ? 0 : 1, D = z.columns;
      const of = (t) => z.data.subarray((t + skip) * D, (t + skip + 1) * D);
      const dot = (x, y) => x.reduce((sum, v, k) => sum + v * y[k], 0);
      const own = of(s.j), length = Math.sqrt(dot(own, own));
      return Array.from({ length: a.N }, (_, t) => dot(of(t), own) / (length * Math.sqrt(dot(of(t), of(t))) || 1));
    },
    draw(place, a) {
      drawValues(place, a, this.values(a), [-1, 1]);
      marks(place, a);
    },
    caption: () => "How alike each token is to that of the framed patch: dark −1, bright 1 (cosine)",
    said(a) {
      const values = this.values(a), others = values.filter((_, t) => t !== s.j);
      const near = values.indexOf(Math.max(...others)), mean = others.reduce((x, y) => x + y) / others.length;
      return `${s.after ? "After" : "Before"} the blocks, patch ${near} is most like patch ${s.j} `
        + `(${signed(values[near])}); the mean of all others is ${signed(mean)}.`;
    },
  },
  {
    title: "Attention",
    sentence: () => "In each block every token looks at all tokens, and the shares of its look sum to 1 (eq. 2).",
    todo: "Go from block to block.",
    controls: () => [blocks()],
    values(a) {
      const maps = a.attention[s.block - 1], T = a.N + 1, from = (s.j + 1) * T;
      return Array.from({ length: T }, (_, t) => maps.reduce((sum, map) => sum + map.data[from + t], 0) / maps.length);
    },
    draw(place, a) {
      drawValues(place, a, this.values(a).slice(1));
      marks(place, a);
    },
    caption: () =>
      `Where the framed patch looks in block ${s.block}, the mean of ${about().heads} heads: the brighter, the more`,
    said(a) {
      const [cls, ...shown] = this.values(a), most = shown.indexOf(Math.max(...shown));
      return `In block ${s.block}, patch ${s.j} looks most at patch ${most} (${percent(shown[most], 1)}); `
        + `${percent(cls, 1)} go to the CLS token; even shares would be ${percent(1 / (a.N + 1), 1)}.`;
    },
  },
  {
    title: "Score",
    sentence: () =>
      "For each pair of tokens a head gives nine scores: one for each side on which i may lie, seen from j (eq. 8).",
    todo: "Choose one of the nine scores.",
    controls: () => [scores()],
    values: (a) => Array.from({ length: a.N }, (_, i) => a.scores.sprel[s.k].data[i * a.N + s.j]),
    draw(place, a) {
      drawValues(place, a, this.values(a));
      marks(place, a);
    },
    caption: () => `Score ${scoreNames("sprel")[s.k]}: how much each patch seems to lie `
      + `${carried.words[s.k].toLowerCase()} the framed one`,
    said(a) {
      const values = this.values(a), [most, least] = [Math.max(...values), Math.min(...values)];
      return `Score ${scoreNames("sprel")[s.k]} is highest, ${signed(most)}, for patch ${values.indexOf(most)}, `
        + `and lowest, ${signed(least)}, for patch ${values.indexOf(least)}.`;
    },
  },
  {
    title: "Answer",
    sentence: () => "The largest of the nine scores is the model's answer: on which side of j lies i?",
    todo: "Choose another patch j in the image, and see where the crosses, its mistakes, go.",
    draw: drawRelations,
    caption: () => "Where each patch lies, seen from the framed one, says the model; crosses: mistakes",
    said: (a) => `${seenFrom(a, s.j)} ${ofAll(a, "sprel")}`,
  },
  {
    title: "Loss",
    sentence: () =>
      "The truth costs no labels, for we know where we cut: the loss is −log of the true class's share.",
    todo: "Choose another pair: first j, then i.",
    controls: () => [picks()],
    pair: true,
    html(a) {
      const given = shares(scoresOf(a, "sprel", s.i, s.j)), real = truth(a, "sprel", s.i, s.j);
      return bars(given.map((share, k) => [scoreNames("sprel")[k], share, percent(share), k === real]),
        `Softmax of the nine scores; the truth is ${scoreNames("sprel")[real]}`);
    },
    caption: () => `Patch ${s.i} (dashed) seen from patch ${s.j}: the shares of the nine answers; ◀ the truth`,
    said(a) {
      const real = truth(a, "sprel", s.i, s.j), share = shares(scoresOf(a, "sprel", s.i, s.j))[real];
      return `${inWords(a, "sprel", s.i, s.j)} The true class gets ${percent(share, 1)}: loss `
        + `${(-Math.log(share)).toFixed(2)}. Mean over all pairs ${summary(a, "sprel").loss.toFixed(2)}; guessing, `
        + `log 9 = ${Math.log(9).toFixed(2)}.`;
    },
  },
  {
    title: "Shuffle",
    shuffles: true,
    sentence: (m) => m.positions
      ? "This model is told each token's place, and a shuffle deceives it: the place is no longer the patch's own."
      : "Nobody tells this model a token's place: when patches are shuffled, each answer goes along with its patches.",
    todo: "Shuffle the patches.",
    controls: shuffles,
    draw: drawRelations,
    caption: () => `Where each patch ${s.shuffle ? "belongs" : "lies"}, seen from the framed one, says the model; `
      + "crosses: mistakes",
    async said(a) {
      if (!s.shuffle) return `${ofAll(a, "sprel")} What will happen to that share?`;
      const first = await answers(s.model, 0), moved = Number(drift(first, a, "sprel").toPrecision(1));
      const [before, now] = [first, a].map((one) => percent(summary(one, "sprel").right, 1));
      return `Right before ${before}, now ${now}; the largest change of a score, followed to its patches, is ${moved}.`;
    },
  },
  {
    title: "Cheat",
    only: () => CHEAT,
    images: true,
    sentence: () =>
      "A model with positional embeddings is told each place, and can give the right answers without looking.",
    todo: "Put noise in place of the image, and see whose answers stay right.",
    controls: () => [choice("Both models see", "noise", [[0, "the image"], [1, "noise"]])],
    on: () => CHEAT[0],
    planes: () => look(s.noise ? "noise" : s.image, about(CHEAT[0]).size),
    async html() {
      const image = s.noise ? "noise" : s.image;
      const [honest, cheat] = await Promise.all(CHEAT.map((at) => answers(at, 0, image)));
      const [one, other] = [honest, cheat].map((a) => summary(a, "sprel"));
      this.found = [["no places told", one.right], ["places told", other.right], ["commonest class", one.common]];
      const grids = [honest, cheat].map((a, k) => ({ a, canvas: element("canvas", { role: "img",
        "aria-label": `${this.found[k][0]}: ${seenFrom(a, s.j)}` }), name: this.found[k][0] }));
      const shown = element("div", {}, element("div", { class: "pair" }, ...grids.map(({ canvas, name }) =>
        element("figure", {}, canvas, element("figcaption", {}, name)))),
      bars(this.found.map(([name, share]) => [name, share, percent(share, 1)]), "The share of right pairs"));
      shown.paint = () => grids.forEach(({ a, canvas }) => drawRelations(fresh(canvas), a));
      return shown;
    },
    caption: () => `Seen from the framed patch; crosses: mistakes. Bars: all pairs, ${s.noise ? "nothing to see" : "this image"}`,
    said() {
      const [[, honest], [, cheat], [, common]] = this.found.map(([name, share]) => [name, percent(share, 1)]);
      return `On ${s.noise ? "noise" : "the image"}: ${honest} without positional embeddings, ${cheat} with them; `
        + `always the commonest class, ${common}.`;
    },
  },
  {
    title: "Your turn",
    id: PLAY,
    images: true,
    shuffles: true,
    sentence: () => "Everything at once, for any image, computed here: nothing is sent anywhere.",
    todo: "Bring a photograph of your own: a file, the camera, or paste one.",
    pair: true,
    controls: () => [
      picks(),
      ...(carried.models.length > 1 ? [choice("Model", "model", carried.models.map((m, k) => [k, m.name]))] : []),
      choice("Task", "task", Object.entries(about().tasks).map(([name, { title }]) => [name, title])),
      choice("Show", "show", SHOWN),
      ...(s.show === "attention" ? [blocks()] : []),
      ...(s.show === "score" && about().tasks[s.task].kind === "relations" ? [scores(s.task)] : []),
      element("div", { class: "radios" }, ...shuffles()),
    ],
    draw(place, a) {
      if (s.show === "attention") return this.attention.draw(place, a);
      if (s.show === "score") {
        drawValues(place, a, Array.from({ length: a.N }, (_, i) => scoresOf(a, s.task, i, s.j)[s.k]));
      } else drawAnswers(place, a, s.task, s.j, s.show === "truth" ? truth : answer);
      marks(place, a, true);
    },
    caption() {
      const { title, asks, kind } = about().tasks[s.task];
      if (s.show === "attention") return this.attention.caption();
      if (s.show === "score") return `${title}: score ${scoreNames(s.task)[s.k] || s.k} of each patch`;
      const scale = kind === "values" ? "; dark is least, bright is most" : "";
      const mistakes = `The model's answers; ${kind === "places" ? "orange" : "crosses"}: mistakes`;
      return `${title}: ${asks} ${s.show === "truth" ? "The truth" : mistakes}${scale}`;
    },
    said(a) {
      return s.show === "attention" ? this.attention.said(a) : `${inWords(a, s.task, s.i, s.j)} ${ofAll(a, s.task)}`;
    },
  },
  game,
].filter((step) => !step.only || step.only());
STEPS.forEach((step, k) => (step.id ??= `step-${k + 1}`));
STEPS.find(({ id }) => id === PLAY).attention = STEPS.find((step) => step.title === "Attention");
