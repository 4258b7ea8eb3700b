// The page, and what moves it. One order of the patches is here whole, so picking tokens and scores asks
// nothing of the kernel; another order and another image do, but on a page that computes them itself.
const PATIENCE = 6000; // ms after which a kernel that has not answered is taken for none
const LARGEST = 256; // pixels of the shorter side of an image that is sent to the kernel
const MOST = 100; // outputs up to which each has its small map
const HELP = TOUCH ? `The first tap chooses the token j (solid frame), the second i (dashed), the third j again. A tap on a
small map chooses the score k. Crosses: mistakes.` : `Hover or arrow keys: the chosen token j (solid frame) moves. Click or Enter pins it, then i (dashed)
moves; with Shift, the arrow keys move i at any time; Escape lets go. A click on a small map, or the arrow keys there,
choose the score k. Crosses: mistakes.`;

function render({ model, el }) {
  const r = reader(model), painted = painter(r);
  const { s, side, last, isPlaces, isClass, patchAt, tokenOf, whereIs, tokenAt, outputs } = r;
  const page = model.get("_in_page");
  let waiting = null, trouble = "", gone = false, planes = null, computed = []; // of the image: pixels, orders

  // -- the page -----------------------------------------------------------------------------------------------------
  const unique = `scores${Math.random().toString(36).slice(2)}`;
  const most = (what) => Math.max(...r.data.models.map((one) => one[what]));
  const options = (count, text) => Array.from({ length: count }, (_, k) => element("option", { value: k }, text(k)));
  const titles = Object.entries(r.data.tasks).map(([key, { title }]) => [key, title]);
  const tasks = radios("Task", `${unique}task`, titles, (key) =>
    change({ task: key, k: Math.min(s.k, r.data.tasks[key].names.length ? r.data.tasks[key].names.length - 1 : 0) }));
  const shows = radios("Maps", `${unique}maps`, [["softmax", "softmax over K"], ["scores", "raw scores"]], (value) =>
    change({ softmax: value === "softmax" }));
  const block = control("select", { "aria-label": "block of the backbone" }, () =>
    change({ block: Number(block.value) + 1 }), ...options(most("blocks"), (k) => `block ${k + 1}`));
  const head = control("select", { "aria-label": "head of the attention" }, () => change({ head: Number(head.value) }),
    ...options(most("heads") + 1, (k) => (k ? `head ${k}` : "mean of the heads")));
  const cls = control("select", { "aria-label": "the token that looks" }, () => change({ cls: cls.value === "cls" }),
    element("option", { value: "token" }, "from token j"), element("option", { value: "cls" }, "from CLS"));
  const seed = control("input", { type: "number", min: 0, max: last, "aria-label": "seed of the shuffle" }, () =>
    reorder(between(0, Math.round(Number(seed.value) || 0), last)));
  const undo = button("Unshuffle", () => reorder(0));
  const shuffle = button("Shuffle", () => reorder((s.shuffle % last) + 1));
  const back = control("input", { type: "checkbox", value: "back" }, () => change({ back: back.checked }));
  const range = { type: "range", min: 0, max: 1, step: 0.05, value: s.colour, "aria-label": "colours over the image" };
  const colour = control("input", range, () => change({ colour: Number(colour.value) }));
  const file = element("input", { type: "file", accept: "image/*", hidden: "" });
  file.addEventListener("change", () => file.files[0] && send(file.files[0]));
  const own = button("Own image …", () => (noKernel() ? refuse("An image of your own") : file.click()));
  const attention = element("fieldset", {}, element("legend", {}, "Attention"), block, head, cls);

  function panel(kind, label) {
    const canvas = element("canvas", { tabindex: 0, role: "application", "aria-label": label });
    const caption = element("figcaption"), scale = element("div", { class: "scale" });
    return { kind, canvas, caption, scale, box: element("figure", { class: kind }, caption, canvas, scale), size: 0 };
  }
  const rows = r.data.models.map((one, m) => {
    const grid = `a grid of ${side} by ${side} patches. ${KEYS}`;
    const panels = [panel("answers", `What ${one.name} says about every patch, ${grid}`),
      panel("map", `The map of the chosen score, ${grid}`), panel("all", "All K scores. Arrow keys choose one."),
      panel("look", `Attention inside the backbone, ${grid}`)];
    const boxes = element("div", { class: "panels" }, ...panels.map((each) => each.box));
    const verdict = element("small"), title = element("h4", {}, one.name, verdict);
    return { m, panels, verdict, root: element("section", { "aria-label": one.name }, title, boxes) };
  });
  const words = element("div", { class: "said", role: "status", "aria-live": "polite" });
  const table = element("table"), complaint = element("div", { class: "trouble", role: "alert" });
  const chosen = element("div", { class: "chosen-pair" }, element("div", { class: "pair" }, table), words);
  const help = element("div", { class: "help" });
  let about = r.data.note; // the image
  const root = element("div", { class: "relvit-scores relvit-controls" },
    element("div", { class: "bar" }, tasks, shows),
    element("div", { class: "bar" }, ...(most("blocks") ? [attention] : []), shuffle,
      element("label", {}, "seed", seed), undo, element("label", {}, back, "patches put back"),
      element("label", {}, "image", colour, "colours"), ...(page ? [] : [own, file])),
    complaint, chosen, ...rows.map((row) => row.root), help);
  for (const each of root.querySelectorAll("input, button, select, canvas"))
    each.dataset.lmSuppressShortcuts = "true"; // keys stay
  const others = otherImages(page, { png: r.data.png, size: page?.models[0].size, use: show, within: root,
    complain: (text) => { trouble = text; build(); } });
  if (others) complaint.before(others.root);
  el.append(root);

  function build() {
    painted.afresh();
    for (const { panels } of rows)
      for (const each of panels) {
        each.box.hidden = each.kind === "all" && (isPlaces() || outputs() < 2 || outputs() > MOST);
        each.size = Math.round(each.canvas.clientWidth * devicePixelRatio);
        if (each.size) each.canvas.width = each.canvas.height = each.size;
      }
    for (const [set, chosen] of [[tasks, s.task], [shows, s.softmax ? "softmax" : "scores"]])
      for (const input of set.querySelectorAll("input")) input.checked = input.value === chosen;
    shows.disabled = !isClass();
    chosen.classList.toggle("many", outputs() > MANY); // a table whose width changes: the words stay below it
    [block.value, head.value, cls.value] = [s.block - 1, s.head, s.cls ? "cls" : "token"];
    if (document.activeElement !== seed || waiting === null) seed.value = waiting ?? s.shuffle;
    undo.disabled = !s.shuffle;
    back.checked = s.back;
    help.textContent = `${HELP} ${about}`;
    paint();
  }

  function paint() {
    if (!r.picture || gone) return;
    rows.forEach(painted.paintRow);
    fillTable(r, table);
    const asking = waiting === null ? "" : `Asking the kernel for shuffle ${waiting} …`;
    const note = trouble || model.get("trouble") || asking;
    for (const [place, text] of [[words, pairInWords(r)], [complaint, note]])
      if (place.textContent !== text) place.textContent = text; // else it would be read out again
    const { task: key, j, i, k, pinned, softmax: shares, shuffle: order, block: b, head: h } = s;
    Object.assign(root.dataset, { task: key, token: j, other: i, score: k, pinned, softmax: shares, shuffle: order,
      block: b, head: h, waiting: waiting ?? "", target: r.target(...r.asked()) });
  }

  // -- what moves it ------------------------------------------------------------------------------------------------
  const noKernel = () => Boolean(model.get("_no_kernel"));
  function refuse(what) {
    trouble = `${what} needs a running kernel; this page carries the shuffles ${Object.keys(r.orders).join(", ")}.`;
    waiting = null;
    build();
  }
  function change(news) {
    Object.assign(s, news);
    trouble = "";
    build();
    tell();
  }
  function tell() {
    const { task: key, j, k, softmax: shares, block: b, head: h, cls: c, back: put } = s;
    model.set({ task: key, token: j, score: k, softmax: shares, block: b, head: h, cls: c, back: put,
      shuffle: waiting ?? s.shuffle });
    model.save_changes();
  }
  /** The patches in another order; the chosen patches stay chosen. */
  function reorder(order) {
    const patches = [patchAt(s.i), patchAt(s.j)];
    if (r.orders[order]) {
      waiting = null;
      s.shuffle = order;
      [s.i, s.j] = patches.map(tokenOf);
      return change({});
    }
    if (planes) {
      compute(order);
      return reorder(order);
    }
    if (noKernel()) return refuse(`Shuffle ${order}`);
    waiting = order;
    change({});
    setTimeout(() => waiting === order && !gone && refuse(`Shuffle ${order}`), PATIENCE);
  }
  /** In the page: what the models say about the image in this order. */
  function compute(order) {
    computed[0] ??= computedOrder(r, page, planes, 0, null);
    r.orders[order] = computed[order] ??= computedOrder(r, page, planes, order, computed[0]);
  }
  /** In the page: another image; null for the explorer's own. */
  function show(pixels, image) {
    planes = pixels;
    computed = [];
    trouble = "";
    if (image) r.orders = {};
    else r.take(); // what was carried along
    if (!r.orders[s.shuffle]) compute(s.shuffle);
    about = image ? `${image.name}: its middle, as the model sees it.` : r.data.note;
    root.dataset.image = image ? image.name : "";
    r.picture = page.asCanvas(planes);
    change({});
  }
  async function send(chosen) {
    try {
      const bitmap = await createImageBitmap(chosen), { width, height } = bitmap;
      const less = Math.min(1, LARGEST / Math.min(width, height));
      const canvas = element("canvas", { width: Math.round(width * less), height: Math.round(height * less) });
      canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
      model.set("upload", canvas.toDataURL("image/png"));
      model.save_changes();
    } catch {
      trouble = `${chosen.name} is no image that can be read.`;
      build();
    }
    file.value = "";
  }
  function move(news) {
    if (Object.entries(news).every(([key, value]) => s[key] === value)) return;
    Object.assign(s, news);
    paint();
  }
  for (const { panels } of rows)
    for (const each of panels) {
      const isAll = each.kind === "all", clip = (v) => between(0, Math.floor(v), side - 1);
      const under = ({ offsetX, offsetY }) => {
        const [y, x] = [offsetY, offsetX].map((v) => (v * devicePixelRatio) / each.size);
        if (!isAll) return tokenAt(clip(y * side) * side + clip(x * side));
        const high = Math.ceil(outputs() / painted.columns());
        return between(0, Math.floor(y * high) * painted.columns() + Math.floor(x * painted.columns()), outputs() - 1);
      };
      each.canvas.addEventListener("pointermove", (event) => {
        if (!isAll) move({ [s.pinned ? "i" : "j"]: under(event) });
      });
      each.canvas.addEventListener("click", (event) => {
        const hit = under(event);
        each.canvas.focus({ preventScroll: true });
        if (isAll) return change({ k: hit });
        const second = event.pointerType === "touch" && s.pinned;
        s.pinned = !second && !(s.pinned && s.j === hit);
        s[second ? "i" : "j"] = hit;
        paint();
        tell();
      });
      each.canvas.addEventListener("keydown", (event) => {
        const { key } = event, which = s.pinned !== event.shiftKey ? "i" : "j";
        if (event.altKey || event.metaKey) return;
        if (isAll) {
          const next = key in WAYS ? s.k + WAYS[key][0] * painted.columns() + WAYS[key][1]
            : { Home: 0, End: outputs() - 1 }[key];
          if (next === undefined) return;
          if (next >= 0 && next < outputs()) change({ k: next });
        } else {
          const now = whereIs(s[which]), to = led(event, [Math.floor(now / side), now % side], [side, side]);
          if (to) move({ [which]: tokenAt(to[0] * side + to[1]) });
          else if (pins(event, s)) paint(), tell();
          else return;
        }
        event.preventDefault();
        event.stopPropagation();
      });
    }

  /** What Python has set. */
  function follow() {
    const news = { task: model.get("task"), j: model.get("token"), k: model.get("score"), softmax: model.get("softmax"),
      block: model.get("block"), head: model.get("head"), cls: model.get("cls"), back: model.get("back") };
    const order = model.get("shuffle"), changed = Object.entries(news).some(([key, value]) => s[key] !== value);
    Object.assign(s, news);
    if (r.orders[order]) s.shuffle = order;
    if (changed || r.orders[order]) build();
  }
  function arrive() {
    r.takeExtra();
    if (waiting !== null && r.orders[waiting]) reorder(waiting);
    else if (waiting === null) follow();
  }
  async function load() {
    r.picture = await decoded(r.data.png);
    build();
  }
  function renew() {
    r.take();
    about = r.data.note;
    if (!r.orders[s.shuffle]) s.shuffle = 0;
    load();
  }
  follow();
  const heard = { "change:extra": arrive, "change:data": renew, "change:trouble": () => build() };
  for (const key of ["task", "token", "score", "softmax", "shuffle", "block", "head", "cls", "back"])
    heard[`change:${key}`] = () => waiting === null && follow();
  for (const [event, act] of Object.entries(heard)) model.on(event, act);
  let rest = () => {};
  others?.own().then((pixels) => (planes ??= pixels));
  load().then(() => (rest = onResize(rows.flatMap(({ panels }) => panels), build)));
  return () => {
    gone = true;
    rest();
    for (const [event, act] of Object.entries(heard)) model.off(event, act);
  };
}
export default { render };
