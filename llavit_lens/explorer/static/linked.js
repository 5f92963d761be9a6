// One or two models on the same picture: how the patches and layers of one belong to the other's.

const DENSE = 12; // columns of patches: with more, the picture gets more room, and words merge

// The layer at the same share of the depth, as `matched_layer` in lens/difference.py.
const matched = (layer, depth, other) => Math.floor((layer * other) / depth + 0.5);

class LinkedPanes {
  constructor(panes) {
    this.panes = panes;
    this.state = {};
    this.word = "";
    this.lattices = new Map();
    this.scales = new Map();
  }

  // The first model's patches and slots lead; the other's follow by place and by depth.
  partner(number, patch) {
    if (number === 0 || patch === null || patch === undefined) return patch;
    const pane = this.panes[number];
    return pane.nearest(this.panes[0].center(patch), this.lattice(number).patches);
  }
  slotOf(number, slot = this.state.slot) {
    const [own, lead] = [this.panes[number].slots.length - 2, this.panes[0].slots.length - 2];
    return number === 0 || slot === 0 || lead < 1 ? slot : matched(slot - 1, lead, own) + 1;
  }
  leadSlot(number, slot) {
    const [own, lead] = [this.panes[number].slots.length - 2, this.panes[0].slots.length - 2];
    return number === 0 || slot === 0 || own < 1 ? slot : matched(slot - 1, own, lead) + 1;
  }

  // The patches that a model's picture shows.
  lattice(number) {
    const pane = this.panes[number];
    const key = `${number} ${this.state.tiles}`;
    if (!this.lattices.has(key)) {
      this.lattices.set(key, new Lattice(pane, pane.shown(this.state.tiles)));
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
  // How words are shown: as a person chose, or as the patches are many or few.
  labels() {
    return this.state.labels || (this.lattice(0).columns > DENSE ? "merged" : "each");
  }

  // Of each model's patches, at the first model's slots.
  setDifference(codes) {
    const lead = this.panes[0];
    const read = (slot, patch) => toFraction(codes[slot * lead.n + patch]);
    this.panes.forEach((pane, number) => {
      const nearest = new Map();
      pane.difference = (slot, patch) => {
        if (number === 0) return read(slot, patch);
        if (!nearest.has(patch)) {
          const same = lead.shown(pane.tile(patch) > 0);
          nearest.set(patch, lead.nearest(pane.center(patch), same));
        }
        return read(slot, nearest.get(patch));
      };
    });
  }
}
