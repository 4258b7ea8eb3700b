// The page's state, which its link holds, and what the models say in it.

const carried = JSON.parse(document.getElementById("try-data").textContent);
const PLAY = "play";
const DEFAULTS = { model: 0, image: 0, j: -1, i: -1, k: 0, block: 1, shuffle: 0, task: "sprel", show: "answers",
  after: 1, noise: 0, picks: "j" };
const s = { step: "step-1", ...DEFAULTS };
const KEPT = 12; // answers that are kept

const models = []; // unpacked when first asked for
const model = (at = s.model) => (models[at] ??= readModel(carried.models[at]));
const about = (at = s.model) => carried.models[at];

/** The images of the page, then those that a person has brought. */
const images = unpackImages(carried.images);
const offered = (at = s.model) => offeredTo(images, about(at).dataset);

// -- the link ------------------------------------------------------------------------------------------------------

/** "#step-4&j=27&k=3" into the state; what is missing or makes no sense is as at the start. */
function readLink() {
  const [step, ...rest] = location.hash.slice(1).split("&"), given = new URLSearchParams(rest.join("&"));
  const news = { step: STEPS.some(({ id }) => id === step) ? step : STEPS[0].id };
  const whole = (name, most, least = 0) => {
    const value = Number(given.get(name) ?? NaN);
    news[name] = Number.isInteger(value) && value >= least && value <= most ? value : DEFAULTS[name];
  };
  whole("model", carried.models.length - 1);
  const { side, depth, tasks } = about(news.model), n = side * side;
  if (given.has("image") || s.image < carried.images.length) whole("image", carried.images.length - 1);
  else news.image = s.image; // one's own
  if (!offered(news.model).includes(news.image)) news.image = offered(news.model)[0];
  whole("j", n - 1), whole("i", n - 1), whole("block", depth, 1), whole("shuffle", 999);
  whole("after", 1), whole("noise", 1);
  const middle = Math.floor((side - 1) / 2);
  if (news.j < 0) news.j = middle * side + middle;
  if (news.i < 0) news.i = Math.max(0, middle - 2) * side + Math.min(side - 1, middle + 2);
  news.task = given.get("task") in tasks ? given.get("task") : Object.keys(tasks)[0];
  whole("k", tasks[news.task].outputs - 1);
  news.show = SHOWN.some(([name]) => name === given.get("show")) ? given.get("show") : DEFAULTS.show;
  if (!STEPS.find(({ id }) => id === news.step).shuffles) news.shuffle = 0;
  news.picks = given.get("picks") === "i" ? "i" : "j";
  Object.assign(s, news);
}

/** The state as a link; an image that a person has brought is not in it, and leaves this device in no other way. */
function link(step = s.step) {
  const kept = (name) => name === "image" ? s.image < carried.images.length
    : name === "shuffle" ? STEPS.find(({ id }) => id === step).shuffles : name !== "step";
  const rest = Object.entries(s).filter(([name, value]) => kept(name) && value !== DEFAULTS[name]);
  return `#${step}${rest.map(([name, value]) => `&${name}=${encodeURIComponent(value)}`).join("")}`;
}

// -- what the models see and say -----------------------------------------------------------------------------------

const seen = new Map(), said = new Map();

/** The image as a model of this size sees it, (3,size,size) in [0, 1]. */
async function look(image, size) {
  const key = `${image} ${size}`;
  if (!seen.has(key)) seen.set(key, await (image === "noise" ? noise(size, 1) : readImage(images[image].blob, size)));
  return seen.get(key);
}

/** All that a model says about an image in an order of its patches. `planes` is what it sees, shuffled. */
async function answers(at = s.model, shuffle = s.shuffle, image = s.image) {
  const key = `${at} ${shuffle} ${image}`;
  if (!said.has(key)) {
    const m = model(at), order = permutation(m.side ** 2, shuffle), planes = permuted(await look(image, m.size), order);
    const out = forward(m, normalised(planes, m.mean, m.std));
    if (said.size >= KEPT) said.delete(said.keys().next().value);
    said.set(key, { ...out, planes, order, N: m.side ** 2, side: m.side, at });
  }
  return said.get(key);
}

const targets = new Map();
/** The truth about pair (i, j), or about place i, in the answer's own order. */
function truth({ at, order, N }, task, i, j) {
  const key = `${at} ${task}`, { target, pairs } = about(at).tasks[task];
  if (!targets.has(key)) targets.set(key, new Float32Array(fromBase64(target).buffer));
  return targets.get(key)[pairs ? order[i] * N + order[j] : order[i]];
}

/** The K scores of pair (i, j), or of place i. */
function scoresOf({ at, scores, N }, task, i, j) {
  const given = scores[task], { pairs, outputs } = about(at).tasks[task];
  return Array.from({ length: outputs }, (_, k) => (pairs ? given[k].data[i * N + j] : given.data[i * outputs + k]));
}

/** The class with the largest score, or the value itself. */
function answer(a, task, i, j) {
  const given = scoresOf(a, task, i, j);
  return about(a.at).tasks[task].kind === "values" ? given[0] : given.indexOf(Math.max(...given));
}

function isWrong(a, task, i, j) {
  return Math.abs(answer(a, task, i, j) - truth(a, task, i, j)) > about(a.at).tasks[task].tolerance;
}

const shares = (given) => [...softmax({ rows: 1, columns: given.length, data: Float32Array.from(given) }).data];

/** Over all pairs (or places): the share that is right, the mean loss, and the share of the commonest true class. */
function summary(a, task) {
  if (a.summaries?.[task]) return a.summaries[task];
  const { pairs, kind } = about(a.at).tasks[task], counts = new Map(), all = pairs ? a.N : 1;
  let right = 0, loss = 0;
  for (let i = 0; i < a.N; i++)
    for (let j = 0; j < all; j++) {
      const t = truth(a, task, i, j);
      counts.set(t, (counts.get(t) ?? 0) + 1);
      right += !isWrong(a, task, i, j);
      loss += kind === "values" ? (answer(a, task, i, j) - t) ** 2 : -Math.log(shares(scoresOf(a, task, i, j))[t]);
    }
  const of = a.N * all, found = { right: right / of, loss: loss / of, common: Math.max(...counts.values()) / of, of };
  a.summaries = { ...a.summaries, [task]: found };
  return found;
}

/** How far the scores are from those of the image as it was, moved along with its patches: the largest difference. */
function drift(a, b, task) {
  let largest = 0;
  for (let i = 0; i < a.N; i++)
    for (let j = 0; j < a.N; j++) {
      const [now, first] = [scoresOf(b, task, i, j), scoresOf(a, task, b.order[i], b.order[j])];
      now.forEach((value, k) => (largest = Math.max(largest, Math.abs(value - first[k]))));
    }
  return largest;
}
