// The whole view: tools, one or two models on the same image, linked. `PatchExplorer` serves the app
// and the saved page; `onChange` is called with the new position after the user pauses. Options:
// `finder`, whether words are searched in the page itself; `fit`, called with the view's element
// when it may have to be fitted into its room.

const PLAY_MS = 800;
const PAUSE_MS = 250;

class PatchExplorer extends LinkedPanes {
  constructor(root, data, start, onChange, options = {}) {
    super(data.panes.map((raw) => new Pane(raw)));
    this.root = root;
    this.onChange = onChange;
    this.options = options;
    this.notes = data.notes ?? [];
    this.palette = new Palette(data.palette);
    this.image = new Image();
    this.picture = { size: data.size, image: this.image };
    this.state = { truth: true, tiles: false, large: false };
    this.zoomState = WHOLE;
    this.hovered = null;
    if (data.difference) this.setDifference(numbers(data.difference, Uint16Array));
    this.build(data);
    this.moveTo(start);
    this.image.onload = () => this.render();
    this.image.src = data.image;
    this.observer = new ResizeObserver(() => this.render());
    this.observer.observe(this.root);
  }

  close() {
    this.observer.disconnect();
    clearInterval(this.playing);
    clearTimeout(this.pause);
  }

  // Goes where the page says: slot, pin, color, scale, labels. If the slot or pin is not there, the
  // page gets those that are shown instead.
  moveTo(start) {
    const { panes, state } = this;
    clearTimeout(this.pause);
    Object.assign(state, start, {
      slot: Math.max(0, Math.min(panes[0].slots.length - 1, start.slot)),
      pin: start.pin !== null && start.pin < panes[0].n ? start.pin : null,
    });
    if (state.pin !== null && panes[0].grids.length > 1) {
      state.tiles = panes[0].inDetail(state.pin);
    }
    this.render();
    if (state.slot !== start.slot || state.pin !== start.pin) this.change({});
  }

  // search: the payload of search_payload.py, what a Finder found, or null. The colors turn to a new
  // word at once, but at the `opening` the link says what they show.
  setSearch(search, opening = false) {
    const before = this.word;
    this.word = search?.panes.some((part) => part) ? search.word : "";
    this.panes.forEach((pane, number) => {
      const part = search?.panes[number]; // null: the model does not have the word
      if (part?.values) pane.searchCodes(numbers(part.values, Uint16Array));
      else pane.searched = part?.value ?? null;
    });
    this.scales.clear();
    this.searchBar.show(search);
    this.colorOptions();
    if (this.word && this.word !== before && !opening) this.change({ color: "word" });
    else this.render();
  }

  build(data) {
    const actions = {
      goTo: (view, slot) => this.goToSlot(this.leadSlot(this.views.indexOf(view), slot)),
      hover: (view, patch) => this.hover(view, patch),
      pin: (view, patch) => this.pin(view, patch),
      key: (event) => onKey(this, event),
      pan: (dx, dy) => this.pan(dx, dy),
      zoom: (factor, at) => this.zoom(factor, at),
    };
    this.views = this.panes.map((pane) => new PaneView(pane, this.picture, actions));
    const switches = ["large"];
    if (this.panes.some((pane) => pane.truth)) switches.push("truth");
    if (this.panes.some((pane) => pane.hasTiles())) switches.push("tiles");
    this.controls = new Controls(this.panes[0].slots, this.palette, switches, {
      play: () => (this.playing ? this.stopPlaying() : this.startPlaying()),
      slot: (slot) => this.goToSlot(slot),
      change: (values) => this.change(values),
      zoom: (factor) => this.zoom(factor, this.zoomState.center),
      fit: () => this.fit(),
    });
    if (this.options.finder) {
      this.controls.add(new Finder(this.panes, (search) => this.setSearch(search)).element);
    }
    this.searchBar = new SearchBar(this.panes, (number, slot, patch) =>
      this.goToPatch(number, slot, patch),
    );
    this.differenceBar = new DifferenceBar(this.panes, data.among, (pin) => this.change({ pin }));
    this.live = make("div", "live");
    this.live.setAttribute("aria-live", "polite");
    const dense = this.lattice(0).columns > DENSE ? " dense" : "";
    this.columns = make("div", `columns of${this.views.length}${dense}`);
    this.columns.append(...this.views.map((view) => view.element));
    this.root.replaceChildren(
      ...this.controls.elements,
      ...this.notes.map((note) => make("p", "remark", note)),
      this.searchBar.element,
      this.differenceBar.element,
      this.columns,
      this.live,
    );
  }

  colorOptions() {
    const colors = [["probability", "Probability"]];
    if (this.panes.some((pane) => pane.layers.some((layer) => layer !== null))) {
      colors.push(["entropy", "Certainty"]);
    }
    if (this.word) colors.push(["word", `“${this.word}”`]);
    if (this.panes.length > 1) colors.push(["difference", "Difference"]);
    const isOffered = colors.some(([value]) => value === this.state.color);
    if (!isOffered) this.change({ color: "probability" });
    setOptions(this.controls.color, colors);
  }

  // ---- what the user does

  change(values) {
    Object.assign(this.state, values);
    this.render();
    if (this.playing) return;
    clearTimeout(this.pause);
    const { slot, pin, color, scale, labels } = this.state;
    this.pause = setTimeout(() => this.onChange({ slot, pin, color, scale, labels }), PAUSE_MS);
  }
  goToSlot(slot) {
    this.stopPlaying();
    this.change({ slot: Math.max(0, Math.min(this.panes[0].slots.length - 1, slot)) });
  }
  // Shows one of a model's slots and patches, colored by the searched word.
  goToPatch(number, slot, patch) {
    this.stopPlaying();
    const center = this.panes[number].center(patch);
    this.state.tiles = this.panes[number].inDetail(patch);
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
  startPlaying() {
    this.controls.showPlaying(true);
    this.playing = setInterval(() => {
      this.change({ slot: (this.state.slot + 1) % this.panes[0].slots.length });
    }, PLAY_MS);
  }
  stopPlaying() {
    if (!this.playing) return;
    clearInterval(this.playing);
    this.playing = null;
    this.controls.showPlaying(false);
    this.change({});
  }
  zoom(factor, at) {
    this.zoomState = zoomedBy(this.zoomState, factor, at);
    this.render();
  }
  pan(dx, dy) {
    if (this.zoomState.scale === 1) return;
    this.zoomState = pannedBy(this.zoomState, [dx, dy]);
    this.draw();
  }
  fit() {
    this.zoomState = WHOLE;
    this.render();
  }
  // Moves a view that is zoomed in until a patch is visible.
  reveal(patch) {
    if (this.zoomState.scale === 1) return;
    this.zoomState = withInView(this.zoomState, this.panes[0].center(patch));
    this.draw();
  }

  // ---- what they see

  // For each pane what it shows, and how: the `look` of paint.js, words.js and pane_view.js.
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
      zoom: this.zoomState,
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
    this.options.fit?.(this.root);
    this.views.forEach((view, number) => {
      view.resize(this.zoomState.scale > 1);
      view.draw(looks[number]);
      view.drawThumbnails(looks[number]);
      view.panel.draw(looks[number]);
    });
    this.differenceBar.show(state.slot, this.lattice(0).patches, (patch) =>
      this.panes.map((_, number) => [this.slotOf(number), this.partner(number, patch)]),
    );
    this.options.fit?.(this.root); // the table of a patch may be new
    this.announce(looks);
  }

  announce(looks) {
    const { pin } = this.state;
    if (pin === null) {
      this.live.textContent = "";
      return;
    }
    const words = this.panes.map((pane, number) => {
      const { slot, pinned } = looks[number];
      const value = formattedValue(pane, slot, pane.value(slot, pinned, 0));
      return `${pane.name}: ${pane.word(slot, pinned, 0)} ${value}`;
    });
    this.live.textContent = `Pinned ${this.panes[0].patchName(pin)}. ${words.join(". ")}`;
  }
}
