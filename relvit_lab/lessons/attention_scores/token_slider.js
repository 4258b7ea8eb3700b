// A range input over the tokens; the kernel draws the picture (on a page without one, all pictures are there already).
// Left and right move by a token, up and down by a row.
const STYLE =
  ".relvit-token-slider input:focus-visible{outline:3px solid #0072B2;outline-offset:3px;border-radius:3px}";

function render({ model, el }) {
  const side = model.get("side"), last = side * side - 1;
  const input = control("input", { type: "range", min: 0, max: last, step: 1,
    "aria-label": "token j", style: "width:22em;max-width:60%;margin:.3em 0" }, () => choose(Number(input.value)));
  const value = element("output", { style: "font-variant-numeric:tabular-nums;min-width:9em" });
  const image = element("img", { style: "display:block;max-width:100%;height:auto;background:#FFFFFF" });
  const box = element("div", { class: "relvit-token-slider", style: "max-width:100%;font-size:14px" },
    element("style", {}, STYLE),
    element("label", { style: "display:flex;align-items:center;gap:.8em;padding:.3em .4em" },
      "token j ", input, value), image);
  box.dataset.lmSuppressShortcuts = "true"; // else JupyterLab takes the arrow keys: it moves among cells and headings
  el.append(box);

  function say() {
    const token = model.get("token");
    input.value = token;
    const words = `${token} (row ${Math.floor(token / side)}, column ${token % side})`;
    value.textContent = words;
    input.setAttribute("aria-valuetext", words);
  }
  function choose(token) {
    model.set("token", token);
    model.save_changes();
    if (model.get("_no_kernel") && model.get("pictures").length) {
      model.set({ picture: model.get("pictures")[token], alt: model.get("alts")[token] });
    }
    say();
  }
  let address = "";
  function show() {
    if (address) URL.revokeObjectURL(address);
    address = URL.createObjectURL(new Blob([model.get("picture")], { type: "image/png" }));
    image.src = address;
  }
  const describe = () => (image.alt = model.get("alt"));
  // All keys are handled here: JupyterLab keeps some from the input, and up is up in the image, not "more".
  input.addEventListener("keydown", (event) => {
    const token = Number(input.value);
    const to = {
      ArrowLeft: token - 1, ArrowRight: token + 1, ArrowUp: token - side, ArrowDown: token + side, Home: 0, End: last,
    }[event.key];
    if (to === undefined || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    if (to >= 0 && to <= last) choose(to);
  });
  const heard = { "change:token": say, "change:picture": show, "change:alt": describe };
  for (const [event, act] of Object.entries(heard)) {
    model.on(event, act);
    act();
  }
  return () => {
    for (const [event, act] of Object.entries(heard)) model.off(event, act);
    if (address) URL.revokeObjectURL(address);
  };
}
export default { render };
