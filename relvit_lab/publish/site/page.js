// What scrolls sideways can be scrolled with the keyboard, too.
new ResizeObserver(() => {
  for (const box of document.querySelectorAll("main :is(pre, .pair, .wide, .equation)")) {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
  }
}).observe(document.querySelector("main"));

// A picture opens in its own size at a tap, or at Enter; a tap, or Escape, closes it.
for (const picture of document.querySelectorAll(".output img")) {
  const open = () => {
    const large = document.createElement("dialog"), copy = picture.cloneNode();
    ["tabindex", "role", "aria-label"].forEach((name) => copy.removeAttribute(name));
    large.className = "large";
    large.setAttribute("aria-label", picture.alt || "Picture");
    large.append(copy);
    large.addEventListener("click", () => large.close());
    large.addEventListener("close", () => large.remove());
    document.body.append(large);
    large.showModal();
  };
  if (picture.closest(".widget, .relvit-still, a")) continue;
  picture.tabIndex = 0;
  picture.setAttribute("role", "button");
  picture.setAttribute("aria-label", `${picture.alt || "Picture"} (opens large)`);
  picture.addEventListener("click", open);
  picture.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    open();
  });
}
