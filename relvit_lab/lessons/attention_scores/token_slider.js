// A range input over the tokens; the kernel draws the picture (on a page without one, all pictures are there already).
// Left and right move by a token, up and down by a row.
function render({ model, el }) {
  const box = document.createElement("div");
  box.style.cssText = "max-width:100%;font-size:14px";
  const style = document.createElement("style");
  style.textContent =
    ".relvit-token-slider input:focus-visible{outline:3px solid #0072B2;outline-offset:3px;border-radius:3px}";
  box.className = "relvit-token-slider";
  box.dataset.lmSuppressShortcuts = "true"; // else JupyterLab takes the arrow keys: it moves among cells and headings
  const label = document.createElement("label");
  label.style.cssText = "display:flex;align-items:center;gap:.8em;padding:.3em .4em";
  const input = document.createElement("input");
  input.type = "range";
  input.min = 0;
  input.max = model.get("count") - 1;
  input.step = 1;
  input.setAttribute("aria-label", model.get("label"));
  input.style.cssText = "width:22em;max-width:60%;margin:.3em 0";
  const value = document.createElement("output");
  value.style.cssText = "font-variant-numeric:tabular-nums;min-width:9em";
  label.append(`${model.get("label")} `, input, value);
  const image = document.createElement("img");
  image.style.cssText = "display:block;max-width:100%;height:auto;background:#FFFFFF";
  box.append(style, label, image);
  el.append(box);

  const side = model.get("side");
  const last = side * side - 1;
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
  input.addEventListener("input", () => choose(Number(input.value)));
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
  model.on("change:token", say);
  model.on("change:picture", show);
  model.on("change:alt", describe);
  say();
  show();
  describe();
  return () => {
    model.off("change:token", say);
    model.off("change:picture", show);
    model.off("change:alt", describe);
    if (address) URL.revokeObjectURL(address);
  };
}
export default { render };
