// A question with choices; the first choice is kept, and opens the answer with the choice beside it. What follows the
// question is veiled by a style, until data-open says that a choice is made, or that one does without.
function render({ model, el }) {
  const box = document.createElement("fieldset"), style = document.createElement("style");
  box.dataset.asks = model.get("asks");
  style.textContent = model.get("veil");
  box.style.cssText = "border:1px solid #8A8A8A;border-radius:4px;padding:.6em 1em;max-width:60em;font-size:14px;" +
    "background:var(--jp-layout-color0, transparent);color:var(--jp-content-font-color1, inherit)";
  const legend = document.createElement("legend");
  legend.textContent = "Predict";
  legend.style.fontWeight = "bold";
  const question = document.createElement("div");
  question.textContent = model.get("question");
  question.style.marginBottom = ".4em";
  box.append(legend, question);
  const group = `predict-${Math.random().toString(36).slice(2)}`;
  const inputs = model.get("choices").map((choice) => {
    const label = document.createElement("label");
    label.style.cssText = "display:block;margin:.15em 0;cursor:pointer";
    const input = document.createElement("input");
    input.type = "radio";
    input.name = group;
    input.value = choice;
    input.style.marginRight = ".5em";
    input.dataset.lmSuppressShortcuts = "true"; // else JupyterLab takes the arrow keys
    label.append(input, choice);
    box.append(label);
    return input;
  });
  const button = document.createElement("button");
  button.textContent = "That is my prediction";
  button.style.cssText = "margin-top:.5em;padding:.3em .8em";
  button.disabled = true;
  button.dataset.lmSuppressShortcuts = "true";
  const waits = document.createElement("div"), anyway = document.createElement("button");
  waits.className = "relvit-waits"; // only seen where the veil is
  waits.style.cssText = "margin-top:.5em;font-size:.9em";
  anyway.textContent = "Show it anyway";
  anyway.dataset.lmSuppressShortcuts = "true";
  waits.append("Until then what follows is veiled, up to the next heading. ", anyway);
  const answer = document.createElement("div");
  answer.setAttribute("aria-live", "polite");
  answer.style.marginTop = ".5em";
  box.append(button, waits, answer);
  el.append(style, box);

  const picked = () => inputs.find((input) => input.checked)?.value ?? "";
  box.addEventListener("keydown", (event) => event.stopPropagation());
  box.addEventListener("change", () => (button.disabled = !picked()));
  button.addEventListener("click", () => {
    model.set("chosen", picked());
    model.save_changes();
    show();
  });
  anyway.addEventListener("click", () => {
    model.set("shown", true);
    model.save_changes();
    show();
  });
  function show() {
    const chosen = model.get("chosen");
    if (!chosen && !model.get("shown")) return;
    box.dataset.open = "true";
    waits.hidden = true;
    for (const input of inputs) {
      input.disabled = true;
      input.checked = input.value === chosen;
    }
    button.hidden = true;
    const right = chosen === model.get("answer");
    const line = (strong, text) => {
      const p = document.createElement("div");
      const b = document.createElement("b");
      b.textContent = strong;
      p.append(b, text);
      return p;
    };
    answer.replaceChildren(
      chosen ? line("You predicted: ", `${chosen} ${right ? "✓" : "✗"}`) : line("", "You made no prediction."),
      line("Answer: ", `${model.get("answer")}. ${model.get("because")}`),
    );
  }
  model.on("change:chosen change:shown", show);
  show();
  return () => model.off("change:chosen change:shown", show);
}
export default { render };
