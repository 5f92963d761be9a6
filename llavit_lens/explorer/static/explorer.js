// The whole view: tools, one or two models on the same picture, linked. `PatchExplorer` serves the
// app and the page that is saved; `tell` is called with what a person chose, once they rest.

const PLAY_MS = 800;
const REST_MS = 250;

class PatchExplorer extends LinkedPanes {
  constructor(root, data, start, tell) {
    super(data.panes.map((raw) => new Pane(raw)));
    this.root = root;
    this.tell = tell || (() => {});
    this.palette = new Palette(data.palette);
    this.image = new Image();
    this.picture = { size: data.size, image: this.image };
    this.state = { truth: true, tiles: false, large: false };
    this.zoomed = WHOLE;
    this.hovered = null;
    if (data.difference) this.setDifference(numbers(data.difference, Uint16Array));
    this.build();
    this.begin(start);
    this.image.onload = () => this.render();
    this.image.src = data.image;
    this.observer = new ResizeObserver(() => this.render());
    this.observer.observe(this.root);
  }

  close() {
    this.observer.disconnect();
    clearInterval(this.playing);
    clearTimeout(this.resting);
  }

  // Go where the page says: slot, pin, color, scale, labels. If that place is not there, the page
  // hears of the one that is shown instead.
  begin(start) {
    const { panes, state } = this;
    clearTimeout(this.resting);
    Object.assign(state, start, {
      slot: Math.max(0, Math.min(panes[0].slots.length - 1, start.slot)),
      pin: start.pin !== null && start.pin < panes[0].n ? start.pin : null,
    });
    if (state.pin !== null && panes[0].grids.length > 1) {
      state.tiles = panes[0].tile(state.pin) > 0;
    }
    this.render();
    if (state.slot !== start.slot || state.pin !== start.pin) this.change({});
  }

  // A searched word, as search.py's payload, or null. One that comes later than the view itself
  // is shown at once; at the `opening` the link says what the colors show.
  setSearch(search, opening = false) {
    const before = this.word;
    this.word = search ? search.word : "";
    this.panes.forEach((pane, number) => {
      const found = search?.panes[number]; // null: not in this model's vocabulary
      pane.search = found ? numbers(found.values, Uint16Array) : null;
    });
    this.scales.clear();
    this.found.show(search);
    this.colorOptions();
    if (search && this.word !== before && !opening) this.change({ color: "word" });
    else this.render();
  }

  build() {
    const act = {
      goTo: (view, slot) => this.jump(this.leadSlot(this.views.indexOf(view), slot)),
      hover: (view, patch) => this.hover(view, patch),
      pin: (view, patch) => this.pin(view, patch),
      key: (event) => pressed(this, event),
      pan: (dx, dy) => this.pan(dx, dy),
      zoom: (factor, at) => this.zoom(factor, at),
    };
    this.views = this.panes.map((pane) => new PaneView(pane, this.picture, act));
    const switches = ["large"];
    if (this.panes.some((pane) => pane.truth)) switches.push("truth");
    if (this.panes.some((pane) => pane.grids.length > 1)) switches.push("tiles");
    this.controls = new Controls(this.panes[0].slots, this.palette, switches, {
      play: () => (this.playing ? this.stop() : this.start()),
      slot: (slot) => this.jump(slot),
      change: (values) => this.change(values),
      zoom: (factor) => this.zoom(factor, this.zoomed.center),
      fit: () => this.fit(),
    });
    this.found = new FoundBar(this.panes, (number, slot, patch) => this.go(number, slot, patch));
    this.apart = new ApartBar(this.panes, (pin) => this.change({ pin }));
    this.live = make("div", "live");
    this.live.setAttribute("aria-live", "polite");
    const dense = this.panes[0].grids[0][1] > DENSE ? " dense" : "";
    this.columns = make("div", `columns of${this.views.length}${dense}`);
    this.columns.append(...this.views.map((view) => view.element));
    this.root.replaceChildren(
      ...this.controls.elements,
      this.found.element,
      this.apart.element,
      this.columns,
      this.live,
    );
  }

  colorOptions() {
    const colors = [
      ["probability", "Probability"],
      ["entropy", "Certainty"],
    ];
    if (this.word) colors.push(["word", `“${this.word}”`]);
    if (this.panes.length > 1) colors.push(["difference", "Difference"]);
    const offered = colors.some(([value]) => value === this.state.color);
    if (!offered) this.change({ color: "probability" });
    offer(this.controls.color, colors);
  }

  // ---- what a person does

  change(values) {
    Object.assign(this.state, values);
    this.render();
    if (this.playing) return;
    clearTimeout(this.resting);
    const { slot, pin, color, scale, labels } = this.state;
    this.resting = setTimeout(() => this.tell({ slot, pin, color, scale, labels }), REST_MS);
  }
  jump(slot) {
    this.stop();
    this.change({ slot: Math.max(0, Math.min(this.panes[0].slots.length - 1, slot)) });
  }
  // Show one of a model's slots and patches, colored by the searched word.
  go(number, slot, patch) {
    this.stop();
    const center = this.panes[number].center(patch);
    this.state.tiles = this.panes[number].tile(patch) > 0;
    const pin = number === 0 ? patch : this.panes[0].nearest(center, this.lattice(0).patches);
    this.change({ slot: this.leadSlot(number, slot), pin, color: "word" });
    this.reveal(pin);
  }
  pin(view, patch) {
    if (patch === undefined) return;
    const number = this.views.indexOf(view);
    const [lead, center] = [this.panes[0], this.panes[number].center(patch)];
    this.change({ pin: number === 0 ? patch : lead.nearest(center, this.lattice(0).patches) });
  }
  hover(view, patch) {
    const number = this.views.indexOf(view);
    const lead = this.panes[0];
    let hovered = patch ?? null;
    if (patch !== undefined && number > 0) {
      hovered = lead.nearest(this.panes[number].center(patch), this.lattice(0).patches);
    }
    if (hovered === this.hovered) return;
    this.hovered = hovered;
    this.draw();
  }
  start() {
    this.controls.showPlaying(true);
    this.playing = setInterval(() => {
      this.change({ slot: (this.state.slot + 1) % this.panes[0].slots.length });
    }, PLAY_MS);
  }
  stop() {
    if (!this.playing) return;
    clearInterval(this.playing);
    this.playing = null;
    this.controls.showPlaying(false);
    this.change({});
  }
  zoom(factor, at) {
    this.zoomed = zoomedBy(this.zoomed, factor, at);
    this.render();
  }
  pan(dx, dy) {
    if (this.zoomed.scale === 1) return;
    this.zoomed = movedBy(this.zoomed, [dx, dy]);
    this.draw();
  }
  fit() {
    this.zoomed = WHOLE;
    this.render();
  }
  // Moves a zoomed view so that a patch is in it.
  reveal(patch) {
    if (this.zoomed.scale === 1) return;
    this.zoomed = showing(this.zoomed, this.panes[0].center(patch));
    this.draw();
  }

  // ---- what they see

  looks() {
    const style = getComputedStyle(this.root);
    const fromTheme = (name, otherwise) => style.getPropertyValue(name).trim() || otherwise;
    return this.panes.map((pane, number) => ({
      slot: this.slotOf(number),
      pinned: this.partner(number, this.state.pin),
      hovered: this.partner(number, this.hovered) ?? undefined,
      lattice: this.lattice(number),
      patches: this.lattice(number).patches,
      color: this.state.color,
      scale: this.scale(),
      scaleAt: (slot) => this.scale(this.leadSlot(number, slot)),
      barred: (height) => !HEAT.has(this.state.color) && height >= BARRED,
      words: this.labels(),
      truth: this.state.truth,
      word: this.word,
      zoom: this.zoomed,
      palette: this.palette,
      family: style.fontFamily,
      accent: fromTheme("--st-primary-color", "#ff4b4b"),
      background: fromTheme("--st-background-color", "#ffffff"),
    }));
  }

  draw() {
    const looks = this.looks();
    this.views.forEach((view, number) => view.draw(looks[number]));
  }

  render() {
    const { state } = this;
    if (state.pin !== null && !this.lattice(0).number.has(state.pin)) {
      state.pin = this.panes[0].nearest(this.panes[0].center(state.pin), this.lattice(0).patches);
    }
    const looks = this.looks();
    this.controls.update({ ...state, labels: this.labels() }, this.scale());
    this.columns.classList.toggle("large", state.large);
    this.views.forEach((view, number) => {
      view.resize(this.zoomed.scale > 1, state.large);
      view.draw(looks[number]);
      view.drawThumbnails(looks[number]);
      view.panel.draw(looks[number]);
    });
    this.apart.show(state.slot, this.lattice(0).patches, (patch) =>
      this.panes.map((_, number) => [this.slotOf(number), this.partner(number, patch)]),
    );
    this.announce(looks);
  }

  announce(looks) {
    const { pin } = this.state;
    if (pin === null) {
      this.live.textContent = "";
      return;
    }
    const said = this.panes.map((pane, number) => {
      const { slot, pinned } = looks[number];
      const value = shownValue(pane, slot, pane.value(slot, pinned, 0));
      return `${pane.name}: ${pane.word(slot, pinned, 0)} ${value}`;
    });
    this.live.textContent = `Pinned ${this.panes[0].place(pin)}. ${said.join(". ")}`;
  }
}
