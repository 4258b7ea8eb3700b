// The shortcut lab. The kernel trains; this page shows its tries and sends it what is asked (start, stop, clear) and the
// toggles. Without a kernel (a saved page) the recorded tries are shown, and that training needs one.
const TEXT = "currentColor";
const W = 980, H = 468, LEFT = 58, RIGHT = 116, TOP = 80, BOTTOM = 46; // of the drawing; the page scales it
const TOGGLES = [
  ["pos_embed", "positional embeddings (PE)"], ["shuffle", "shuffle"], ["crop", "patch crop"], ["jitter", "jitter"],
];
const HALO = "paint-order:stroke;stroke:var(--jp-layout-color0,#FFFFFF);stroke-width:4px";
const PATIENCE = 3000; // ms until a kernel that does not answer is said to be missing
const SHAPES = { // around 0, as wide as 2
  o: "M1 0A1 1 0 1 1-1 0A1 1 0 1 1 1 0Z", s: "M-.9-.9H.9V.9H-.9Z", "^": "M0-1.1 1 .8H-1Z", v: "M0 1.1 1-.8H-1Z",
  D: "M0-1.2 1.2 0 0 1.2-1.2 0Z", P: "M-.4-1H.4V-.4H1V.4H.4V1H-.4V.4H-1V-.4H-.4Z",
  X: "M0-.5.6-1.1 1.1-.6.5 0 1.1.6.6 1.1 0 .5-.6 1.1-1.1.6-.5 0-1.1-.6-.6-1.1Z",
};

function drawn(tag, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

// What JupyterLab's kernel is busy with: the words of the heading above the running cell, "another cell" where it is not
// on the screen; "" where nothing runs.
function busyWith() {
  const prompt = [...document.querySelectorAll(".jp-InputPrompt")].find((each) => each.textContent.includes("*"));
  let cell = prompt?.closest(".jp-Cell")?.previousElementSibling;
  for (; cell; cell = cell.previousElementSibling) {
    const headings = cell.querySelectorAll(".jp-RenderedMarkdown :is(h1, h2, h3, h4)");
    if (headings.length) return `the cell under “${[...headings].at(-1).firstChild.textContent.trim()}”`;
  }
  return prompt || document.querySelector('.jp-Notebook-ExecutionIndicator[data-status="busy"]') ? "another cell" : "";
}

const text = (x, y, words, more = {}) => drawn("text", { x, y, fill: TEXT, "font-size": 15, ...more }, words);

function render({ model, el }) {
  const about = model.get("about");
  let asked = model.get("heard"), waiting = null, busy = "", missing = Boolean(model.get("_no_kernel"));

  // -- the page -----------------------------------------------------------------------------------------------------
  const boxes = TOGGLES.map(([name, words]) => {
    const input = control("input", { type: "checkbox", name }, () => {
      model.set(name, input.checked);
      model.save_changes();
    });
    return [name, input, element("label", {}, input, words)];
  });
  const toggles = element("fieldset", {}, element("legend", {}, "Train with"), ...boxes.map(([, , label]) => label));
  const start = button("Start", () => ask("start")), stop = button("Stop", () => ask("stop"));
  const clear = button("Clear", () => ask("clear"));
  const recorded = control("input", { type: "checkbox", name: "recorded" }, () => {
    model.set("show_recorded", recorded.checked);
    model.save_changes();
    draw();
  });
  const bar = element("progress", { max: 1, value: 0, "aria-label": "how far the training is" });
  const line = element("span", { class: "line" });
  const said = element("div", { class: "said", role: "status", "aria-live": "polite" });
  const failed = element("div", { class: "failed", role: "alert" });
  const plot = drawn("svg", { class: "plot", viewBox: `0 0 ${W} ${H}`, role: "img" });
  const names = element("ul", { "aria-label": "the curves" }), note = element("div", { class: "note" });
  const root = element("div", { class: "relvit-lab relvit-controls" },
    element("div", { class: "bar" }, toggles),
    element("div", { class: "bar" }, start, stop, clear, element("label", {}, recorded, "Show recorded"), bar, line),
    said, failed, plot, names, note);
  for (const each of root.querySelectorAll("input, button")) each.dataset.lmSuppressShortcuts = "true"; // keys stay
  el.append(root);

  // -- asking the kernel ----------------------------------------------------------------------------------------------
  function ask(what) {
    asked += 1;
    model.send({ do: what, number: asked });
    clearTimeout(waiting);
    if (what === "start") waiting = setTimeout(wait, PATIENCE);
  }
  function wait() { // no answer so far
    busy = busyWith();
    if (!busy) return show(false);
    state();
    waiting = setTimeout(wait, PATIENCE);
  }
  function heard() { // an answer, though it may come late: the kernel may have been busy with another cell
    if (model.get("heard") < asked) return;
    clearTimeout(waiting);
    busy = "";
    show(!model.get("_no_kernel"));
  }
  function show(answers) {
    missing = !answers;
    recorded.checked ||= missing;
    state();
    draw();
  }

  // -- what the kernel says -------------------------------------------------------------------------------------------
  const write = (where, words) => where.textContent !== words && (where.textContent = words);
  function state() {
    const gone = Boolean(model.get("_no_kernel")), running = model.get("running") && !gone;
    const progress = model.get("progress");
    for (const [name, input] of boxes) [input.checked, input.disabled] = [model.get(name), gone];
    [start.disabled, stop.disabled] = [running || gone, !running];
    clear.disabled = gone || !model.get("tries").length;
    bar.max = progress.of ?? 1;
    bar.value = progress.step ?? 0;
    bar.hidden = !progress.of;
    write(line, progress.line ?? "");
    write(failed, model.get("failed"));
    write(said, busy ? `The kernel is busy with ${busy}. What you asked for begins when it is done.`
      : !missing ? model.get("said") || "Choose the settings, predict what will happen, and press Start."
      : gone ? "Training needs a running notebook. These curves were recorded."
        : "The kernel does not answer. Training needs a running notebook; the recorded curves need none.");
    root.dataset.running = running;
    root.dataset.kernel = missing ? "missing" : "there";
  }

  // -- the plot -------------------------------------------------------------------------------------------------------
  function shown() {
    const tries = model.get("tries").map((one) => ({ ...one, key: `${one.number}`, wide: 3 }));
    const old = about.recorded.map((one) => ({ ...one, key: `R${one.number}`, wide: 1.7 }));
    return recorded.checked ? [...old, ...tries] : tries;
  }
  const lookOf = (one) => about.looks[(one.number - 1) % about.looks.length];
  function stroke(one) {
    const [colour, , dashes] = lookOf(one);
    return { fill: "none", stroke: colour, "stroke-width": one.wide,
      "stroke-dasharray": dashes.map((d) => d * Math.min(one.wide, 2.4)).join(" ") };
  }
  function marker(one, x, y, size = 5.5) { // hollow where recorded
    const [colour, shape] = lookOf(one), hollow = one.wide < 2;
    return drawn("path", { d: SHAPES[shape], transform: `translate(${x} ${y}) scale(${hollow ? size * 0.85 : size})`,
      fill: hollow ? "var(--jp-layout-color0, #FFFFFF)" : colour, stroke: colour, "stroke-width": 1.4, "vector-effect": "non-scaling-stroke" });
  }

  function draw() {
    const curves = shown(), longest = Math.max(...curves.map((one) => one.of), about.recorded[0].of);
    const px = (step) => LEFT + (step / longest) * (W - LEFT - RIGHT);
    const py = (value) => H - BOTTOM - (value / 100) * (H - TOP - BOTTOM);
    plot.dataset.longest = longest;
    const parts = [text(LEFT - 50, 15, "SpRel on images that the model has not seen, unshuffled, %", { "font-weight": 600 })];
    for (const value of [0, 20, 40, 60, 80, 100])
      parts.push(drawn("line", { x1: LEFT, x2: W - RIGHT, y1: py(value), y2: py(value), stroke: value ? "#8884" : TEXT }),
        text(LEFT - 8, py(value) + 5, `${value}`, { "text-anchor": "end" }));
    const tick = [10, 20, 50, 100, 200, 500, 1000, 2000, 5000].find((each) => longest / each <= 9) ?? 10000;
    for (let step = 0; step <= longest; step += tick)
      parts.push(text(px(step), H - BOTTOM + 19, `${step}`, { "text-anchor": "middle" }));
    parts.push(text((LEFT + W - RIGHT) / 2, H - 6, "step", { "text-anchor": "middle" }));
    for (const [value, words, dy] of [[about.floors.constant, "one constant answer", -5], [about.floors.guessing, "guessing", 16]])
      parts.push(drawn("line", { x1: LEFT, x2: W - RIGHT, y1: py(value), y2: py(value), stroke: TEXT, "stroke-width": 1.4,
        "stroke-dasharray": "2 4" }),
      text(W - RIGHT - 4, py(value) + dy, `${words}: ${value.toFixed(1)} %`, { "text-anchor": "end", "font-size": 14 }));
    const marks = curves.flatMap((one) => one.marks.map(([step, what]) => ({ step, words: `${one.key}: ${what}`, one })));
    for (const { step, one } of marks)
      parts.push(drawn("line", { class: "switch", "data-key": one.key, "data-step": step, x1: px(step), x2: px(step),
        y1: TOP - 54, y2: H - BOTTOM, stroke: lookOf(one)[0], "stroke-width": 1.4 }));
    for (const one of curves) {
      const points = one.steps.map((step, k) => [px(step), py(one.sprel[k])]);
      parts.push(drawn("polyline", { class: "curve", "data-key": one.key, points: points.join(" "), ...stroke(one) }));
      points.forEach(([x, y], k) => (k + one.number) % 3 || parts.push(marker(one, x, y)));
    }
    const taken = []; // of each row of words above the curves: up to where
    for (const { step, words } of marks.sort((a, b) => a.step - b.step)) {
      const left = px(step) + 4;
      let row = 0;
      while (taken[row] > left) row += 1;
      taken[row] = left + 8.2 * words.length;
      parts.push(text(left, TOP - 42 + 17 * row, words, { "font-size": 14, "font-weight": 600, style: HALO }));
    }
    const ends = curves.map((one) => ({ one, y: py(one.sprel.at(-1)), x: px(one.steps.at(-1)) })).sort((a, b) => a.y - b.y);
    let last = -Infinity;
    for (const end of ends) last = end.at = Math.max(end.y, last + 17);
    for (let k = ends.length - 1, under = H - BOTTOM; k >= 0; k--) under = (ends[k].at = Math.min(ends[k].at, under)) - 17;
    for (const { one, x, y, at } of ends)
      parts.push(drawn("line", { x1: x, y1: y, x2: W - RIGHT + 6, y2: at, stroke: "#BBBBBB", "stroke-dasharray": "1 3" }),
        text(W - RIGHT + 9, at + 5, `${one.key}: ${one.sprel.at(-1).toFixed(1)} %`, { "font-weight": one.wide > 2 ? 700 : 400 }));
    plot.replaceChildren(...parts);
    plot.setAttribute("aria-label", `SpRel by step, of ${longest}. ${curves.map(words).join("; ") || "No curves yet"}.`);
    names.replaceChildren(...curves.map((one) => {
      const sample = drawn("svg", { width: 56, height: 16, viewBox: "0 0 56 16", "aria-hidden": "true" },
        drawn("line", { x1: 1, x2: 55, y1: 8, y2: 8, ...stroke(one) }), marker(one, 28, 8));
      return element("li", { "data-key": one.key }, sample, element("b", {}, one.key), one.name);
    }));
    write(note, recorded.checked ? `R1 to R${about.recorded.length}: ${about.note}` : "");
  }
  const words = (one) => `${one.key}, ${one.name}: ${one.sprel.at(-1).toFixed(1)} % after step ${one.steps.at(-1)}`;

  function follow() {
    recorded.checked = model.get("show_recorded") || missing;
    draw();
    state();
  }
  const whole = "change:tries change:show_recorded";
  const small = ["running", "said", "failed", "progress", ...TOGGLES.map(([name]) => name)].map((name) => `change:${name}`).join(" ");
  model.on(whole, follow);
  model.on(small, state);
  model.on("change:heard", heard);
  follow();
  return () => {
    clearTimeout(waiting);
    model.off(whole, follow);
    model.off(small, state);
    model.off("change:heard", heard);
  };
}
export default { render };
