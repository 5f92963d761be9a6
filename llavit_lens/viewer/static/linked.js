// One or two models on the same image: which patches and layers of them belong together.

const DENSE = 12; // columns of patches: with more, the image gets more room, and words merge

// The layer at the same share of the depth, as `matched_layer` in results/matching.py.
const matchedLayer = (layer, depth, other) => Math.floor((layer * other) / depth + 0.5);

// The slot of another pane that fits one of this pane: the nearest of those that it has.
function matchedSlot(slot, pane, other) {
  const layer = pane.layers[slot];
  if (layer === null) return other.layers.indexOf(null); // all panes have this slot, or none has
  const wanted = pane.depth ? matchedLayer(layer, pane.depth, other.depth) : layer;
  const apart = other.layers.map((l) => (l === null ? Infinity : Math.abs(l - wanted)));
  return apart.indexOf(Math.min(...apart));
}

class LinkedPanes {
  constructor(panes) {
    this.panes = panes;
    this.state = {};
    this.word = "";
    this.lattices = new Map();
    this.scales = new Map();
  }

  // The first model leads; the other's patches follow by position, its slots by depth.
  partner(number, patch) {
    if (number === 0 || patch === null || patch === undefined) return patch;
    const pane = this.panes[number];
    return pane.nearest(this.panes[0].center(patch), this.lattice(number).patches);
  }
  slotOf(number, slot = this.state.slot) {
    return number === 0 ? slot : matchedSlot(slot, this.panes[0], this.panes[number]);
  }
  leadSlot(number, slot) {
    return number === 0 ? slot : matchedSlot(slot, this.panes[number], this.panes[0]);
  }

  // The patches of a model that are shown.
  lattice(number) {
    const pane = this.panes[number];
    const key = `${number} ${this.state.tiles}`;
    if (!this.lattices.has(key)) {
      this.lattices.set(key, new Lattice(pane, pane.patchesShown(this.state.tiles)));
    }
    return this.lattices.get(key);
  }

  // The scale of the colors at one of the first model's slots, for all models.
  scale(slot = this.state.slot) {
    const { color, scale } = this.state;
    const key = `${slot} ${color} ${scale}`;
    if (!this.scales.has(key)) {
      const parts = this.panes.map((pane, number) => [pane, this.slotOf(number, slot)]);
      this.scales.set(key, new Scale(parts, color, scale, this.word));
    }
    return this.scales.get(key);
  }
  // How words are shown: as the user chose, or as the patches are many or few.
  labels() {
    return this.state.labels || (this.lattice(0).columns > DENSE ? "merged" : "each");
  }

  // codes: of the first model's slots and patches.
  setDifference(codes) {
    const lead = this.panes[0];
    const read = (slot, patch) => toFraction(codes[slot * lead.n + patch]);
    this.panes.forEach((pane, number) => {
      const nearest = new Map();
      pane.difference = (slot, patch) => {
        if (number === 0) return read(slot, patch);
        if (!nearest.has(patch)) {
          const same = lead.patchesShown(pane.inDetail(patch));
          nearest.set(patch, lead.nearest(pane.center(patch), same));
        }
        return read(slot, nearest.get(patch));
      };
    });
  }
}
