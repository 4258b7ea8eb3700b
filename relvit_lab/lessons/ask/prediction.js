// A question with choices; the first choice is kept, and opens the answer with the choice beside it. What follows the
// question is veiled by a style, until data-open says that a choice is made, or that one does without.
function render({ model, el }) {
  const group = `predict-${Math.random().toString(36).slice(2)}`;
  const labels = model.get("choices").map((choice) =>
    element("label", { style: "display:block;margin:.15em 0;cursor:pointer" },
      element("input", { type: "radio", name: group, value: choice, style: "margin-right:.5em" }), choice));
  const inputs = labels.map((label) => label.firstChild);
  const kept = button("That is my prediction", () => keep("chosen", picked()));
  kept.style.cssText = "margin-top:.5em;padding:.3em .8em";
  kept.disabled = true;
  const waits = element("div", { class: "relvit-waits", style: "margin-top:.5em;font-size:.9em" }, // seen under a veil
    "Until then what follows is veiled, up to the next heading. ", button("Show it anyway", () => keep("shown", true)));
  const answer = element("div", { "aria-live": "polite", style: "margin-top:.5em" });
  const box = element("fieldset", { "data-asks": model.get("asks"),
    style: "border:1px solid #8A8A8A;border-radius:4px;padding:.6em 1em;max-width:60em;font-size:14px;" +
      "background:var(--jp-layout-color0, transparent);color:var(--jp-content-font-color1, inherit)" },
  element("legend", { style: "font-weight:bold" }, "Predict"),
  element("div", { style: "margin-bottom:.4em" }, model.get("question")), ...labels, kept, waits, answer);
  for (const each of box.querySelectorAll("input, button"))
    each.dataset.lmSuppressShortcuts = "true"; // else JupyterLab takes the arrow keys
  el.append(element("style", {}, model.get("veil")), box);

  const picked = () => inputs.find((input) => input.checked)?.value ?? "";
  box.addEventListener("keydown", (event) => event.stopPropagation());
  box.addEventListener("change", () => (kept.disabled = !picked()));
  function keep(trait, value) {
    model.set(trait, value);
    model.save_changes();
    show();
  }
  function show() {
    const chosen = model.get("chosen");
    if (!chosen && !model.get("shown")) return;
    box.dataset.open = "true";
    waits.hidden = true;
    for (const input of inputs) {
      input.disabled = true;
      input.checked = input.value === chosen;
    }
    kept.hidden = true;
    const right = chosen === model.get("answer");
    const line = (strong, text) => element("div", {}, element("b", {}, strong), text);
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
