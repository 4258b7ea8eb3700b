// Which image? One of those that are offered, a file, one that is pasted or dropped, or the camera's picture: for
// try.html and for the explorers of pages. Whatever is chosen stays in the page.

/** Images that a page carries, { name, dataset, png }, with what a browser needs of each: blob and address. */
export function unpackImages(carried) {
  return carried.map((one) => ({ ...one, blob: new Blob([fromBase64(one.png)], { type: "image/png" }),
    address: `data:image/png;base64,${one.png}` }));
}

/** The numbers of those for a model of a data set: digits for one of digits, photographs else; one's own for all. */
export function offeredTo(images, dataset) {
  return [...images.keys()].filter((k) =>
    images[k].dataset === "own" || (images[k].dataset === "digits") === (dataset === "digits"));
}

/**
 * The elements to choose with, pick, own and video (in own: file and camera), and build(), to be called when what is
 * offered or chosen changes.
 *
 * images: a list; what a person brings is added to it. offered(): numbers in it. chosen(): one of them. read(k): a
 * promise of image k's planes, (3,S,S); where it fails, that is no image. choose(k, new), complain(words): are called,
 * `new` true for what a person has just brought. within: the element that takes what is pasted or dropped.
 */
export function imageChooser({ images, offered, chosen, read, choose, complain, within }) {
  const pick = element("fieldset", { class: "pick" }), shared = `image${Math.random().toString(36).slice(2)}`;
  const file = element("input", { type: "file", accept: "image/*" });
  const camera = element("button", { type: "button" }, "Camera");
  const own = element("div", { class: "own" }, element("label", { class: "file" }, "Own file …", file), camera,
    element("span", { class: "hint" }, "or paste or drop one: it stays on this device"));
  const video = element("video", { playsinline: "", hidden: "" });
  video.muted = true;
  let built = "";

  function build() {
    const now = offered();
    if (now.join() !== built) { // else what has the focus keeps it
      built = now.join();
      pick.replaceChildren(element("legend", {}, "Image"), ...now.map((k) => {
        const { name, address } = images[k];
        const input = element("input", { type: "radio", name: shared, value: k, "aria-label": name });
        input.addEventListener("change", () => choose(k, false));
        return element("label", { title: name }, input, element("img", { src: address, alt: "" }));
      }));
    }
    for (const input of pick.querySelectorAll("input")) input.checked = Number(input.value) === chosen();
  }

  /** An image that a person has brought. */
  async function bring(blob, name) {
    const k = images.push({ name, blob, dataset: "own" }) - 1;
    try {
      images[k].address = asCanvas(await read(k)).toDataURL();
    } catch {
      images.splice(k, 1);
      complain(`${name} is no image that this browser can read: try a JPEG or a PNG.`);
      return;
    }
    await choose(k, true);
  }

  async function photographed() {
    if (video.hidden) {
      try {
        video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
      } catch {
        complain("There is no camera here that this page may use: choose a file.");
        return;
      }
      video.hidden = false;
      camera.textContent = "Take the picture";
      await video.play();
      return;
    }
    const canvas = element("canvas", { width: video.videoWidth, height: video.videoHeight });
    canvas.getContext("2d").drawImage(video, 0, 0);
    video.srcObject.getTracks().forEach((track) => track.stop());
    video.hidden = true;
    camera.textContent = "Camera";
    canvas.toBlob((blob) => bring(blob, "The camera's picture"));
  }

  camera.addEventListener("click", photographed);
  file.addEventListener("change", () => {
    if (file.files[0]) bring(file.files[0], file.files[0].name);
    file.value = "";
  });
  within.addEventListener("paste", (event) => {
    const [pasted] = event.clipboardData.files;
    if (pasted) bring(pasted, "The pasted image");
  });
  within.addEventListener("dragover", (event) => event.preventDefault());
  within.addEventListener("drop", (event) => {
    event.preventDefault();
    const [dropped] = event.dataTransfer.files;
    if (dropped) bring(dropped, dropped.name);
  });
  return { pick, own, file, camera, video, build };
}
