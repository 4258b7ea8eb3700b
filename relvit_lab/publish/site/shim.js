// The notebook's widgets without a kernel: each model from its saved state, drawn by its own ES module, as anywidget does.

/** What a widget's module gets as `model`. `_no_kernel` is true: nobody answers what is set or sent. `_in_page` is what
 * computes in the kernel's place, where the page carries it: the functions of show/in_page, images, models. */
class Model {
  #state;
  #heard = []; // of {event, callback, context}

  constructor(state, inPage) {
    this.#state = { ...state, _no_kernel: true, _in_page: inPage };
  }

  get(name) {
    return this.#state[name];
  }

  set(name, value) {
    const values = typeof name === "string" ? { [name]: value } : name;
    const changed = Object.keys(values).filter((key) => !equal(this.#state[key], values[key]));
    Object.assign(this.#state, values);
    for (const key of changed) this.trigger(`change:${key}`, this, values[key]);
    if (changed.length) this.trigger("change", this);
    return this;
  }

  save_changes() {}
  send() {}

  on(events, callback, context) {
    for (const event of events.split(/\s+/)) this.#heard.push({ event, callback, context });
    return this;
  }

  /** Without a callback all of an event, without an event all. */
  off(events, callback) {
    const names = events?.split(/\s+/);
    const goes = (one) => (!names || names.includes(one.event)) && (!callback || callback === one.callback);
    this.#heard = this.#heard.filter((one) => !goes(one));
    return this;
  }

  trigger(event, ...values) {
    for (const one of [...this.#heard]) if (one.event === event) one.callback.apply(one.context ?? this, values);
    return this;
  }
}

function equal(a, b) {
  if (Object.is(a, b)) return true;
  if (!a || !b || typeof a !== "object" || typeof b !== "object" || ArrayBuffer.isView(a) || ArrayBuffer.isView(b)) return false;
  const [keys, others] = [Object.keys(a), Object.keys(b)];
  return Array.isArray(a) === Array.isArray(b) && keys.length === others.length && keys.every((key) => equal(a[key], b[key]));
}

function bytes(base64) {
  const text = atob(base64), data = new Uint8Array(text.length);
  for (let k = 0; k < text.length; k++) data[k] = text.charCodeAt(k);
  return new DataView(data.buffer);
}

/** Put each buffer where it was in the state; one whose place is gone is of an earlier value. */
function whole({ state, buffers }) {
  for (const { path, data } of buffers) {
    const place = path.slice(0, -1).reduce((at, key) => at?.[key], state);
    if (place && typeof place === "object") place[path.at(-1)] = bytes(data);
  }
  return state;
}

const saved = JSON.parse(document.getElementById("widget-data").textContent);
async function asModule(source) {
  const address = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  const module = await import(address);
  URL.revokeObjectURL(address);
  return module;
}
const modules = saved.modules.map(async (source) => {
  const module = await asModule(source);
  const widget = module.default ?? { render: module.render };
  return typeof widget === "function" ? await widget() : widget;
});
for (const style of saved.styles) {
  if (style) document.head.append(Object.assign(document.createElement("style"), { textContent: style }));
}
const models = new Map();
const experimental = { invoke: async () => { throw new Error("a page has no kernel"); } };

const computing = saved.in_page && (await asModule(saved.in_page.module).catch((error) => console.error(error)));
const images = computing?.unpackImages(saved.in_page.images), trained = []; // models, unpacked when first asked for
/** What a widget computes with; models: the numbers of those that it asks. */
const inPage = (models) => ({ ...computing, images,
  models: models.map((k) => saved.in_page.models[k]),
  trained: (m) => (trained[models[m]] ??= computing.readModel(saved.in_page.models[models[m]])) });

/** A model, made once however often it is shown. */
async function open(id) {
  const { in_page: asked, ...state } = whole(saved.models[id]);
  const model = new Model(state, Array.isArray(asked) && computing ? inPage(asked) : undefined);
  const widget = await modules[saved.models[id].module];
  await widget.initialize?.({ model, experimental });
  return { model, widget };
}

async function show(place) {
  const id = place.dataset.model;
  const fallback = [...place.childNodes], el = document.createElement("div");
  try {
    if (!models.has(id)) models.set(id, open(id));
    const { model, widget } = await models.get(id);
    place.replaceChildren(el); // in the page already: a widget may measure the room that it has
    await widget.render?.({ model, el, experimental });
    place.dataset.drawn = "true";
  } catch (error) {
    place.replaceChildren(...fallback);
    console.error(error);
  }
}

await Promise.all([...document.querySelectorAll(".widget")].map(show));
if (location.hash) document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView();
