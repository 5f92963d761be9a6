// The whole view: tools, one or two models on the same picture, linked. `PatchExplorer` serves the
// app and the page that is saved; `tell` is called with what a person chose, once they rest.

const PLAY_MS = 800;
const REST_MS = 250;
const FARTHEST = 24;
const DENSE = 12; // columns of patches: with more, the picture gets more of the width

class PatchExplorer {
  constructor(root, data, start, tell) {
    this.root = root;
    this.tell = tell || (() => {});
    this.panes = data.panes.map((raw) => new Pane(raw));
    this.palette = new Palette(data.palette);
    this.image = new Image();
    this.picture = { size: data.size, image: this.image };
    this.state = {
      slot: Math.max(0, Math.min(this.panes[0].slots.length - 1, start.slot)),
      pin: start.pin !== null && start.pin < this.panes[0].n ? start.pin : null,
      color: start.color,
      words: true,
      truth: true,
      tiles: false,
    };
    if (this.state.pin !== null) this.state.tiles = this.panes[0].tile(this.state.pin) > 0;
    this.zoomed = { scale: 1, center: [0.5, 0.5] };
    this.hovered = null;
    this.word = "";
    if (data.difference) this.setDifference(numbers(data.difference, Uint16Array));
    this.build();
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

  // The first model's patches and slots lead; the other's follow by place and by depth.
  partner(number, patch) {
    if (number === 0 || patch === null || patch === undefined) return patch;
    const pane = this.panes[number];
    return pane.nearest(this.panes[0].center(patch), this.patches[number]);
  }
  slotOf(number, slot = this.state.slot) {
    const [own, lead] = [this.panes[number].slots.length - 2, this.panes[0].slots.length - 2];
    return number === 0 || slot === 0 || lead < 1 ? slot : Math.round(((slot - 1) * own) / lead) + 1;
  }
  leadSlot(number, slot) {
    const [own, lead] = [this.panes[number].slots.length - 2, this.panes[0].slots.length - 2];
    return number === 0 || slot === 0 || own < 1 ? slot : Math.round(((slot - 1) * lead) / own) + 1;
  }

  setDifference(codes) {
    const lead = this.panes[0];
    const read = (slot, patch) => toFraction(codes[slot * lead.n + patch]);
    this.panes.forEach((pane, number) => {
      const nearest = new Map();
      pane.difference = (slot, patch) => {
        if (number === 0) return read(slot, patch);
        if (!nearest.has(patch)) {
          const same = lead.shown(pane.tile(patch) > 0);
          nearest.set(patch, lead.nearest(pane.center(patch), same) ?? 0);
        }
        return read(this.leadSlot(number, slot), nearest.get(patch));
      };
    });
  }

  // A searched word, as search.py's payload, or null. One that comes later than the view itself
  // is shown at once; at the `opening` the link says what the colors show.
  setSearch(search, opening = false) {
    const before = this.word;
    this.word = search ? search.word : "";
    this.panes.forEach((pane, number) => {
      pane.search = search ? numbers(search.panes[number].values, Uint16Array) : null;
      pane.ranges.clear();
    });
    this.found.replaceChildren();
    this.found.hidden = !search;
    (search ? search.panes : []).forEach((found, number) => {
      const line = make("p", "", found.text);
      const go = make("button", "", "Show me");
      go.type = "button";
      go.setAttribute("aria-label", `Show where ${this.panes[number].name} has it likeliest`);
      go.onclick = () => {
        this.stop();
        const lead = this.panes[0];
        const center = this.panes[number].center(found.patch);
        this.state.tiles = this.panes[number].tile(found.patch) > 0;
        const pin = number === 0 ? found.patch : lead.nearest(center, lead.shown(this.state.tiles));
        this.change({ slot: this.leadSlot(number, found.slot), pin, color: "word" });
      };
      line.append(" ", go);
      this.found.append(line);
    });
    this.colorOptions();
    if (search && this.word !== before && !opening) this.change({ color: "word" });
    else this.render();
  }

  build() {
    const act = {
      goTo: (view, slot) => this.jump(this.leadSlot(this.views.indexOf(view), slot)),
      hover: (view, patch) => this.hover(view, patch),
      pin: (view, patch) => this.pin(view, patch),
      key: (view, event) => this.key(view, event),
      pan: (dx, dy) => this.pan(dx, dy),
      zoom: (factor, at) => this.zoom(factor, at),
    };
    this.views = this.panes.map((pane) => new PaneView(pane, this.picture, act));
    const switches = ["words"];
    if (this.panes.some((pane) => pane.truth)) switches.push("truth");
    if (this.panes[0].grids.length > 1) switches.push("tiles");
    this.controls = new Controls(this.panes[0].slots, this.palette, switches, {
      play: () => (this.playing ? this.stop() : this.go()),
      slot: (slot) => this.jump(slot),
      change: (values) => this.change(values),
      zoom: (factor) => this.zoom(factor, this.zoomed.center),
      fit: () => this.fit(),
    });
    this.found = make("div", "found");
    this.found.hidden = true;
    this.apart = make("div", "apart");
    this.live = make("div", "live");
    this.live.setAttribute("aria-live", "polite");
    const dense = this.panes[0].grids[0][1] > DENSE ? " dense" : "";
    const columns = make("div", `columns of${this.views.length}${dense}`);
    columns.append(...this.views.map((view) => view.element));
    this.root.replaceChildren(
      ...this.controls.elements,
      this.found,
      this.apart,
      columns,
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
    this.controls.offerColors(colors);
  }

  // ---- what a person does

  change(values) {
    Object.assign(this.state, values);
    this.render();
    if (this.playing) return;
    clearTimeout(this.resting);
    const { slot, pin, color } = this.state;
    this.resting = setTimeout(() => this.tell({ slot, pin, color }), REST_MS);
  }
  jump(slot) {
    this.stop();
    this.change({ slot: Math.max(0, Math.min(this.panes[0].slots.length - 1, slot)) });
  }
  pin(view, patch) {
    if (patch === undefined) return;
    const number = this.views.indexOf(view);
    const [lead, center] = [this.panes[0], this.panes[number].center(patch)];
    this.change({ pin: number === 0 ? patch : lead.nearest(center, this.patches[0]) });
  }
  hover(view, patch) {
    const number = this.views.indexOf(view);
    const lead = this.panes[0];
    let hovered = patch ?? null;
    if (patch !== undefined && number > 0) {
      hovered = lead.nearest(this.panes[number].center(patch), this.patches[0]);
    }
    if (hovered === this.hovered) return;
    this.hovered = hovered;
    this.draw();
  }
  key(view, event) {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const { key } = event;
    const { pin, slot } = this.state;
    if (step[key]) {
      const first = () => this.panes[0].nearest([0.5, 0.5], this.patches[0]);
      const next = pin === null ? first() : this.panes[0].beside(pin, ...step[key], this.patches[0]);
      this.change({ pin: next });
      this.reveal(next);
    } else if (key === "PageUp") this.jump(slot + 1);
    else if (key === "PageDown") this.jump(slot - 1);
    else if (key === "+" || key === "=") this.zoom(1.6, this.zoomed.center);
    else if (key === "-") this.zoom(1 / 1.6, this.zoomed.center);
    else if (key === "0") this.fit();
    else if (key === " ") this.controls.play.click();
    else if (key === "Escape") this.change({ pin: null });
    else return;
    event.preventDefault();
  }
  go() {
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
    const scale = Math.max(1, Math.min(FARTHEST, this.zoomed.scale * factor));
    const kept = this.zoomed.scale / scale; // the place `at` stays where it is
    const center = this.zoomed.center.map((c, axis) => at[axis] + (c - at[axis]) * kept);
    this.zoomed = { scale, center: scale === 1 ? [0.5, 0.5] : center.map(inside) };
    this.render();
  }
  pan(dx, dy) {
    if (this.zoomed.scale === 1) return;
    const [x, y] = this.zoomed.center;
    this.zoomed.center = [inside(x - dx), inside(y - dy)];
    this.draw();
  }
  fit() {
    this.zoomed = { scale: 1, center: [0.5, 0.5] };
    this.render();
  }
  // Moves a zoomed view so that a patch is in it.
  reveal(patch) {
    if (this.zoomed.scale === 1) return;
    const half = 0.4 / this.zoomed.scale;
    const to = this.panes[0].center(patch);
    this.zoomed.center = this.zoomed.center.map((c, axis) =>
      inside(Math.max(to[axis] - half, Math.min(to[axis] + half, c))),
    );
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
      patches: this.patches[number],
      color: this.state.color,
      words: this.state.words,
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
    this.patches = this.panes.map((pane) => pane.shown(state.tiles && pane.grids.length > 1));
    if (state.pin !== null && !this.patches[0].includes(state.pin)) {
      state.pin = this.panes[0].nearest(this.panes[0].center(state.pin), this.patches[0]);
    }
    const looks = this.looks();
    const scale = scaleEnds(this.panes[0], state.slot, state.color, this.word);
    this.controls.update(state, scale);
    this.views.forEach((view, number) => {
      view.resize(this.zoomed.scale > 1);
      view.draw(looks[number]);
      view.drawThumbnails(looks[number]);
      view.drawPanel(looks[number]);
    });
    this.drawApart();
    this.announce(looks);
  }

  // Where two models differ most, at this layer.
  drawApart() {
    const lead = this.panes[0];
    this.apart.hidden = !lead.difference;
    if (!lead.difference) return;
    const slot = this.state.slot;
    const order = [...this.patches[0]].sort(
      (a, b) => lead.difference(slot, b) - lead.difference(slot, a),
    );
    const chips = [];
    const said = new Set();
    for (const patch of order) {
      if (chips.length === 4 || lead.difference(slot, patch) < 0.02) break;
      const words = this.panes.map((pane, number) => {
        const own = this.slotOf(number);
        const at = this.partner(number, patch);
        return `${pane.word(own, at, 0)} ${shownValue(pane, own, pane.value(own, at, 0))}`;
      });
      const pair = this.panes.map((pane, number) =>
        pane.word(this.slotOf(number), this.partner(number, patch), 0),
      );
      if (said.has(pair.join("\n"))) continue;
      said.add(pair.join("\n"));
      const chip = make("button", "chip", words.join("  |  "));
      chip.type = "button";
      chip.title = `Pin the patch at ${lead.place(patch)}`;
      chip.onclick = () => this.change({ pin: patch });
      chips.push(chip);
    }
    const text = chips.length
      ? "They differ most here (left | right):"
      : "At this layer they hardly differ.";
    this.apart.replaceChildren(make("span", "", text), ...chips);
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

const inside = (share) => Math.max(0, Math.min(1, share));
