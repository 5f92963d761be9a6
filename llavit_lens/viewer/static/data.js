// From the JSON of payload.py to numbers and strings. Numbers are base64 of small integers: uint16
// codes of log-probabilities (0 to -32 nats), cosines (-1 to 1) and fractions.

const CODES = 65535;
const NATS = 32;

function numbers(text, Type) {
  const raw = atob(text);
  const bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  return new Type(bytes.buffer);
}

const toLogProbability = (code) => (-NATS * code) / CODES;
const toCosine = (code) => (2 * code) / CODES - 1;
const toFraction = (code) => code / CODES;

// One model's words on the image: slots (the input by cosine, layers) x patches x k.
class Pane {
  constructor(raw) {
    Object.assign(this, { name: raw.name, slots: raw.slots, k: raw.k, strings: raw.strings });
    this.grids = raw.grids;
    this.whole = raw.whole === undefined ? 0 : raw.whole; // the tile that shows the whole image; null if none does
    this.maxEntropy = raw.maxEntropy;
    this.layers = raw.slots.map((slot) => (slot.cosine ? null : Number(slot.short)));
    this.depth = raw.depth ?? Math.max(0, ...this.layers);
    this.covered = new Set(raw.covered ?? []); // where tiles overlap, a place has one patch
    this.boxes = numbers(raw.boxes, Float32Array);
    this.cells = numbers(raw.cells, Uint16Array);
    this.ids = numbers(raw.ids, raw.wide ? Uint32Array : Uint16Array);
    this.codes = numbers(raw.values, Uint16Array);
    this.entropies = numbers(raw.entropy, Uint16Array);
    this.truth = raw.truth ? numbers(raw.truth, Uint8Array) : null;
    this.n = this.boxes.length / 4;
    this.tracked = (raw.tracked ?? []).map(({ word, values }) => ({
      word,
      codes: numbers(values, Uint16Array),
    }));
    this.searched = null; // gives, for a slot and a patch, the value of the searched word or null
    this.difference = null;
  }
  isCosine(slot) {
    return this.slots[slot].cosine;
  }
  word(slot, patch, rank) {
    return this.strings[this.ids[(slot * this.n + patch) * this.k + rank]];
  }
  // A probability or, in the slot of the input similarity, a cosine.
  value(slot, patch, rank) {
    return this.read(slot, this.codes[(slot * this.n + patch) * this.k + rank]);
  }
  read(slot, code) {
    return this.isCosine(slot) ? toCosine(code) : Math.exp(toLogProbability(code));
  }
  entropy(slot, patch) {
    return this.isCosine(slot) ? null : toFraction(this.entropies[slot * this.n + patch]);
  }
  // 0: not judged, 1: the top word is not true of the patch, 2: it is.
  verdict(slot, patch) {
    return this.truth ? this.truth[slot * this.n + patch] : 0;
  }
  searchValue(slot, patch) {
    return this.searched ? this.searched(slot, patch) : null;
  }
  // The values of a word on all slots and patches, as codes.
  searchCodes(codes) {
    this.searched = (slot, patch) => this.read(slot, codes[slot * this.n + patch]);
  }
  box(patch) {
    return this.boxes.subarray(4 * patch, 4 * patch + 4);
  }
  center(patch) {
    const [left, top, right, bottom] = this.box(patch);
    return [(left + right) / 2, (top + bottom) / 2];
  }
  // Row, column and tile.
  place(patch) {
    return Array.from(this.cells.subarray(3 * patch, 3 * patch + 3));
  }
  // As `patch_name` in wording.py.
  patchName(patch) {
    const [row, col, tile] = this.place(patch);
    const cell = `row ${row}, column ${col}`;
    return this.grids.length > 1 ? `${cell}, ${tile === this.whole ? "whole image" : `tile ${tile}`}` : cell;
  }
  tile(patch) {
    return this.cells[3 * patch + 2];
  }
  // Patches that lie on the image: the others see padding only.
  visible() {
    if (!this.onImage) {
      this.onImage = Array.from({ length: this.n }, (_, i) => i).filter((i) => {
        const [left, top, right, bottom] = this.box(i);
        return left < right && top < bottom;
      });
    }
    return this.onImage;
  }
  // Whether a patch belongs to a tile that shows a part of the image.
  inDetail(patch) {
    return this.grids.length > 1 && this.tile(patch) !== this.whole;
  }
  // Whether there is a choice between the whole image and its parts.
  hasTiles() {
    return this.grids.length > 1 && this.whole !== null;
  }
  // Patches that the view shows: those of the whole image, or of all its parts, if it has both.
  patchesShown(tiles) {
    const shown = this.visible().filter((patch) => !this.covered.has(patch));
    return this.hasTiles() ? shown.filter((patch) => this.inDetail(patch) === tiles) : shown;
  }
  at(x, y, patches) {
    return patches.find((i) => {
      const [left, top, right, bottom] = this.box(i);
      return left <= x && x < right && top <= y && y < bottom;
    });
  }
  nearest([x, y], patches) {
    let best;
    let least = Infinity;
    for (const i of patches) {
      const [cx, cy] = this.center(i);
      const distance = (cx - x) ** 2 + (cy - y) ** 2;
      if (distance < least) [best, least] = [i, distance];
    }
    return best;
  }
  // The next patch in a direction: the nearest one with its center there.
  neighbor(patch, dx, dy, patches) {
    const [x, y] = this.center(patch);
    const [left, top, right, bottom] = this.box(patch);
    const [width, height] = [right - left, bottom - top];
    let best = patch;
    let least = Infinity;
    for (const i of patches) {
      const [cx, cy] = this.center(i);
      const along = ((cx - x) / width) * dx + ((cy - y) / height) * dy;
      const across = Math.abs(((cx - x) / width) * dy) + Math.abs(((cy - y) / height) * dx);
      if (along > 0.2 && across < 0.7 && along + 2 * across < least) {
        [best, least] = [i, along + 2 * across];
      }
    }
    return best;
  }
}

function percent(value) {
  const hundredfold = 100 * value;
  if (hundredfold >= 99.95) return "100 %";
  if (hundredfold >= 9.95) return `${hundredfold.toFixed(0)} %`;
  if (hundredfold === 0) return "0 %";
  if (hundredfold >= 0.095) return `${hundredfold.toFixed(1)} %`;
  return hundredfold >= 0.001 ? `${hundredfold.toPrecision(1)} %` : "< 0.001 %";
}

const formattedValue = (pane, slot, value) =>
  pane.isCosine(slot) ? value.toFixed(2) : percent(value);
