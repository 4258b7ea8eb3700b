// Two patches of an image: on which side of j does i lie? Answers are kept in the model, the state is drawn from them.
const I = "#D55E00"; // vermillion: patch i
const J = "#0072B2"; // blue: patch j
const RIGHT = "#009E73";
const ARROWS = ["↖", "↑", "↗", "←", "", "→", "↙", "↓", "↘"];
const TILE = 96; // CSS pixels of a cell of the compass
const STYLE = `
.relvit-guess { background:var(--jp-layout-color0, #fff); color:var(--jp-content-font-color1, #222); font:15px/1.4 system-ui, sans-serif; padding:12px 16px; max-width:860px;
  border:1px solid #8A8A8A; border-radius:4px; }
.relvit-guess .row { display:flex; flex-wrap:wrap; gap:12px 36px; align-items:flex-start; }
.relvit-guess .score { font-weight:600; margin-bottom:8px; }
.relvit-guess .compass { display:grid; grid-template-columns:repeat(3, ${TILE}px); gap:4px; }
.relvit-guess .cell { width:${TILE}px; height:${TILE}px; padding:0; border:2px solid #8A8A8A; border-radius:3px;
  background:var(--jp-layout-color2, #F4F4F4); color:var(--jp-content-font-color1, #222); font:inherit; font-size:13px; cursor:pointer; position:relative; overflow:hidden; }
.relvit-guess .cell .arrow { display:block; font-size:26px; line-height:1.1; }
.relvit-guess .cell:hover:enabled { background:var(--jp-layout-color3, #DCE9F4); }
.relvit-guess .cell:disabled { cursor:default; color:var(--jp-content-font-color2, #555); }
.relvit-guess .cell canvas { position:absolute; inset:0; width:100%; height:100%; }
.relvit-guess .cell .mark { position:absolute; left:2px; bottom:2px; background:#fff; color:#222; padding:0 4px;
  font-size:13px; font-weight:600; border-radius:2px; }
.relvit-guess .cell.j { border:4px solid ${J}; }
.relvit-guess .cell.truth { border:4px solid ${RIGHT}; }
.relvit-guess .cell.wrong { border:4px dashed ${I}; }
.relvit-guess button:focus-visible, .relvit-guess select:focus-visible, .relvit-guess input:focus-visible
  { outline:4px solid var(--jp-content-font-color1, #000); outline-offset:2px; }
.relvit-guess .big { border:4px solid ${I}; width:${2 * TILE - 8}px; height:${2 * TILE - 8}px; display:block; }
.relvit-guess .map { width:${2.4 * TILE}px; height:${2.4 * TILE}px; display:block; border:1px solid #8A8A8A; }
.relvit-guess .said { min-height:1.5em; margin:10px 0; font-weight:600; }
.relvit-guess .next { font:inherit; padding:6px 18px; }
.relvit-guess label:not([hidden]) { display:block; margin-top:4px; }
.relvit-guess .caption { margin-bottom:4px; }
`;

function canvas(name, pixels, label) {
  return element("canvas", { class: name, width: pixels, height: pixels, role: "img", "aria-label": label });
}

async function render({ model, el }) {
  const side = model.get("side");
  const names = model.get("names");
  const words = model.get("words");
  const sharp = await decoded(model.get("png"));
  const coarse = model.get("coarse_png").byteLength ? await decoded(model.get("coarse_png")) : null;
  let at = 0; // the pair that is shown
  let focus = 1; // the compass's cell that Tab reaches

  const score = element("div", { class: "score" });
  const said = element("div", { class: "said", "aria-live": "polite" });
  const next = button("Next pair", () => {
    at = Math.min(at + 1, rounds().length - 1);
    update();
    cells[focus].focus();
  });
  next.className = "next";
  const big = canvas("big", 2 * TILE - 8, "patch i"), map = canvas("map", 2.4 * TILE * 2, "");
  const compass = element("div", { class: "compass", role: "group",
    "aria-label": "side of patch j; arrow keys move, Enter answers" });
  const caption = (words) => element("div", { class: "caption" }, words), mapCaption = caption("");
  const right = element("div", { style: `max-width: ${2.4 * TILE}px` }, mapCaption, map);
  const row = element("div", { class: "row" },
    element("div", {}, caption("Patch i. Where does it lie …"), big),
    element("div", {}, caption("… seen from patch j, in the middle?"), compass), right);
  const root = element("div", { class: "relvit-guess", role: "group", "aria-label": "Guess the relation of two patches" },
    element("style", {}, STYLE), score, row, said, next);
  root.dataset.lmSuppressShortcuts = "true"; // else JupyterLab takes arrow keys and Enter for its own

  const cells = names.map((name, k) => {
    const cell = element("button", { class: k === 4 ? "cell j" : "cell", type: "button", "data-relation": name });
    if (k === 4) {
      cell.disabled = true;
      cell.setAttribute("aria-label", "patch j");
      cell.append(canvas("", TILE, "patch j"));
    } else {
      cell.setAttribute("aria-label", `i lies ${words[k]} j (${name})`);
      cell.addEventListener("click", () => answer(k));
      cell.addEventListener("focus", () => reach(k));
    }
    compass.append(cell);
    return cell;
  });
  compass.addEventListener("keydown", (event) => {
    const step = WAYS[event.key];
    if (!step) return;
    event.preventDefault();
    let [y, x] = [Math.floor(focus / 3) + step[0], (focus % 3) + step[1]];
    if (y === 1 && x === 1) [y, x] = [y + step[0], x + step[1]]; // over patch j
    if (y < 0 || y > 2 || x < 0 || x > 2) return;
    cells[3 * y + x].focus();
  });

  const offered = Object.entries(model.get("levels")).map(([value, text]) => element("option", { value }, text));
  const level = control("select", { "aria-label": "which pairs" }, () => {
    model.set("level", level.value);
    model.save_changes();
  }, ...offered);
  const options = element("div", {}, element("label", {}, "Pairs: ", level));
  function choice(text) {
    const input = control("input", { type: "checkbox" }, update);
    options.append(element("label", {}, input, ` ${text}`));
    return input;
  }
  const asModel = choice(`in the model's own pixels (${coarse ? coarse.width / side : "?"} a side)`);
  asModel.parentElement.hidden = !coarse;
  const showAll = choice("with all other patches, shuffled: what a model gets");
  root.append(options);
  el.append(root);

  const rounds = () => model.get("pairs")[model.get("level")];
  const given = () => model.get("answers").filter((answer) => answer.level === model.get("level"));

  function answer(relation) {
    if (given().length > at) return;
    const [i, j, truth] = rounds()[at];
    const shown = { coarse: asModel.checked, all: showAll.checked };
    const entry = { level: model.get("level"), i, j, truth, said: relation, ...shown };
    model.set("answers", [...model.get("answers"), entry]);
    model.save_changes();
    update();
    (next.disabled ? level : next).focus(); // after the last pair: where other pairs are chosen
  }

  function reach(k) {
    focus = k;
    cells.forEach((cell, c) => (cell.tabIndex = c === focus ? 0 : -1));
  }

  function patch(context, k, x, y, size) {
    const image = asModel.checked && coarse ? coarse : sharp;
    const pixels = image.width / side;
    context.imageSmoothingEnabled = false;
    context.drawImage(image, (k % side) * pixels, Math.floor(k / side) * pixels, pixels, pixels, x, y, size, size);
  }

  function named(context, x, y, size, colour, name) {
    context.lineWidth = 6;
    context.strokeStyle = colour;
    context.strokeRect(x, y, size, size);
    context.fillStyle = colour;
    const high = Math.min(36, 0.46 * size); // the canvas is drawn at twice its size on the page
    context.fillRect(x - 3, y - 3, 0.7 * high, high);
    context.fillStyle = "#fff";
    context.font = `bold ${0.85 * high}px sans-serif`;
    context.fillText(name, x + 0.15 * high, y + 0.65 * high);
  }

  function drawMap(i, j, show) {
    const context = map.getContext("2d");
    context.fillStyle = "#E4E4E4";
    context.fillRect(0, 0, map.width, map.height);
    const size = map.width / side;
    const order = show === "bag" ? model.get("bag") : [...Array(side * side).keys()];
    order.forEach((k, t) => {
      const [x, y] = [(t % side) * size, Math.floor(t / side) * size];
      if (show !== "pair" || k === i || k === j) patch(context, k, x, y, size);
      if (show !== "whole") {
        context.lineWidth = 1;
        context.strokeStyle = "#fff";
        context.strokeRect(x, y, size, size);
      }
    });
    for (const [k, colour, name] of [[j, J, "j"], [i, I, "i"]]) {
      const t = order.indexOf(k);
      named(context, (t % side) * size, Math.floor(t / side) * size, size, colour, name);
    }
  }

  function tally(played) {
    const hits = played.filter((answer) => answer.said === answer.truth).length;
    const parts = [`Pair ${at + 1} of ${rounds().length}`, `you: ${hits} of ${played.length} right`];
    if (coarse) {
      const itsHits = rounds().slice(0, played.length).filter(([, , truth, says]) => says === truth).length;
      parts.push(`the model: ${itsHits} of ${played.length}`);
    }
    parts.push(`by blind guessing: ${(played.length / 8).toFixed(1)}`);
    return parts.join("  ·  ");
  }

  function update() {
    const pairs = rounds();
    const played = given();
    const [i, j, truth, says] = pairs[at];
    const mine = played[at]; // undefined before it is answered
    const over = played.length === pairs.length;
    level.value = model.get("level");
    score.textContent = tally(played);
    patch(big.getContext("2d"), i, 0, 0, big.width);
    patch(cells[4].firstChild.getContext("2d"), j, 0, 0, TILE);
    cells.forEach((cell, k) => {
      if (k === 4) return;
      cell.disabled = Boolean(mine);
      cell.className = "cell";
      cell.replaceChildren(element("span", { class: "arrow" }, ARROWS[k]), names[k]);
      if (!mine) return;
      const marks = [];
      if (k === truth) {
        cell.classList.add("truth");
        const shown = canvas("", TILE, "patch i, where it lies");
        patch(shown.getContext("2d"), i, 0, 0, TILE);
        cell.append(shown);
      }
      if (k === mine.said) {
        marks.push(k === truth ? "you ✓" : "you ✗");
        if (k !== truth) cell.classList.add("wrong");
      }
      if (k === says) marks.push(k === truth ? "model ✓" : "model ✗");
      if (marks.length) cell.append(element("span", { class: "mark" }, marks.join(" ")));
    });
    if (mine) {
      const parts = [mine.said === truth ? "Right:" : "Not so:", `i lies ${words[truth]} j (${names[truth]}).`];
      if (says >= 0) parts.push(says === truth ? "The model is right." : `The model says ${names[says]}.`);
      if (over) parts.push("That was the last pair; the whole image is shown.");
      said.textContent = parts.join(" ");
    } else said.textContent = "";
    const whole = mine && over && at === pairs.length - 1;
    right.hidden = !mine && !showAll.checked;
    mapCaption.textContent = mine ? "Where they lie in the image" : "All patches, shuffled: i and j framed";
    map.setAttribute("aria-label", mapCaption.textContent);
    if (!right.hidden) drawMap(i, j, whole ? "whole" : mine ? "pair" : "bag");
    next.disabled = !mine || at === pairs.length - 1;
    reach(focus);
  }

  function levelChanged() {
    at = Math.min(given().length, rounds().length - 1);
    update();
  }
  model.on("change:level", levelChanged);
  model.on("change:answers", update);
  levelChanged();
  return () => {
    model.off("change:level", levelChanged);
    model.off("change:answers", update);
  };
}
export default { render };
