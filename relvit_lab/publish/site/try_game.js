// The game, a step of its own: two patches and nothing else; where does i lie, seen from j? You, and the model.

const game = {
  title: "Game",
  id: "game",
  images: true,
  fixed: true, // what is tapped in the pictures chooses nothing
  on: () => ("sprel" in about().tasks ? s.model : 0),
  start() {
    Object.assign(this, { of: `${this.on()} ${s.image}`, round: 0, you: 0, model: 0, given: null });
  },
  pair() {
    const n = about(this.on()).side ** 2, draw = random(1000 * (s.image + 1) + this.round);
    const i = Math.floor(draw() * n), j = Math.floor(draw() * (n - 1));
    return [i, j < i ? j : j + 1];
  },
  sentence: (m) => "Are you better than the model? You see two patches, it sees all of them"
    + (m.positions ? ", and is told their places." : "; nobody is told a place."),
  todo: "On which side of patch j does patch i lie?",
  controls() {
    if (this.of !== `${this.on()} ${s.image}`) this.start();
    if (this.given !== null) return [button("Next pair", () => this.next()), button("Start again", () => this.again())];
    const sides = scoreNames("sprel").map((name, k) => [name, k]).filter(([, k]) => k !== 4); // i is never j
    return [element("div", { class: "sides", role: "group", "aria-label": "Where does i lie?" },
      ...sides.map(([name, k]) => button(name, () => this.say(k))))];
  },
  async say(k) {
    if (this.given !== null) return; // a second tap
    this.given = k;
    const { of } = this, [i, j] = this.pair(), a = await answers(this.on(), 0), real = truth(a, "sprel", i, j);
    if (of !== this.of) return; // another image meanwhile, and another game
    this.you += k === real;
    this.model += answer(a, "sprel", i, j) === real;
    change({});
  },
  next() {
    this.round++;
    this.given = null;
    change({});
  },
  again() {
    this.start();
    change({});
  },
  patch(a, t) {
    const { size, patch } = about(a.at), x = patches(a.planes, size, patch);
    return x.data.slice(t * x.columns, (t + 1) * x.columns);
  },
  image(place, a) {
    const [i, j] = this.pair();
    if (this.given === null) return drawPatches(place, this.patch(a, j), about(a.at).patch, 0);
    drawPatches(place, a.planes, a.side, 0);
    drawFrame(place, a.side, j);
    drawFrame(place, a.side, i, true);
  },
  draw(place, a) {
    drawPatches(place, this.patch(a, this.pair()[0]), about(a.at).patch, 0);
  },
  imageWords() {
    const [i, j] = this.pair();
    return this.given === null ? "Patch j" : `Patch j, ${j}: framed; patch i, ${i}: dashed`;
  },
  caption: () => "Patch i",
  said(a) {
    const [i, j] = this.pair(), name = (k) => scoreNames("sprel")[k];
    const done = this.round + (this.given !== null);
    const far = done ? `So far: you ${this.you} of ${done}, the model ${this.model} of ${done}.` : "Your first pair.";
    if (this.given === null) return far;
    const real = truth(a, "sprel", i, j), its = answer(a, "sprel", i, j);
    const of = (who, k) => `${who}: ${name(k)}, ${k === real ? "right" : "wrong"}.`;
    return `It is ${name(real)}. ${of("You", this.given)} ${of("The model", its)} ${far}`;
  },
};
