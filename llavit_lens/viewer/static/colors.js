// What a patch's color shows, the scale that takes it to 0 to 1, and the colors themselves.

const LOG_FLOOR = 1e-4; // where logarithmic scales begin
const TAIL = 0.05; // share of a layer's patches beyond either end of its own scale

const FLAT = 0.15; // a layer that covers less of the fixed scale has one color on it

const SCALES = [
  ["", "Automatic"],
  ["fixed", "Fixed"],
  ["layer", "This layer"],
  ["log", "Log"],
];

// Of a pane's patch at its slot; the difference goes by the slot of the first model.
const QUANTITIES = {
  probability: (pane, slot, patch) => pane.value(slot, patch, 0),
  entropy: (pane, slot, patch) => {
    const entropy = pane.entropy(slot, patch);
    return entropy === null ? null : 1 - entropy;
  },
  word: (pane, slot, patch) => pane.searchValue(slot, patch),
  difference: (pane, slot, patch, lead) => (pane.difference ? pane.difference(lead, patch) : null),
};

// The scales that a color can have, the default first. "": the fixed one or, where it would show a
// layer in one color, the one that is fitted to the layer.
function scalesOf(color) {
  if (color === "word") return ["log", "fixed", "layer"];
  if (color === "difference") return ["fixed", "layer"];
  return color === "probability" ? ["", "fixed", "layer", "log"] : ["", "fixed", "layer"];
}

// One layer's scale, the same for all the models that are shown.
class Scale {
  // parts: pairs of a pane and its slot.
  constructor(parts, color, kind, word) {
    const [[lead, slot]] = parts;
    Object.assign(this, { color, word, maxEntropy: lead.maxEntropy, cosine: lead.isCosine(slot) });
    this.value = (pane, s, patch) => QUANTITIES[color](pane, s, patch, slot);
    this.chosen = scalesOf(color).includes(kind) ? kind : scalesOf(color)[0];
    const isShare = color === "probability" || color === "word";
    if (this.cosine && isShare && this.chosen === "log") this.chosen = "fixed";
    this.kind = this.chosen || "fixed";
    const values = parts
      .flatMap(([pane, s]) => pane.visible().map((patch) => this.value(pane, s, patch)))
      .filter((value) => value !== null)
      .sort((a, b) => a - b);
    this.hasValues = values.length > 0;
    [this.least, this.most] = [values[0], values[values.length - 1]];
    if (!this.chosen && this.flat) this.kind = "layer";
    [this.from, this.to] = [0, 1];
    if (this.kind === "log") this.from = LOG_FLOOR;
    else if (this.kind === "layer" && this.hasValues) {
      const at = (share) => values[Math.round(share * (values.length - 1))];
      [this.from, this.to] = [at(TAIL), at(1 - TAIL)];
    } else if (this.cosine && isShare && this.hasValues) {
      // cosines stay far from their bounds of -1 and 1
      [this.from, this.to] = [Math.min(0, this.least), Math.max(0.05, this.most)];
    }
  }

  // 0 to 1, or null where there is nothing to show.
  share(pane, slot, patch) {
    const value = this.value(pane, slot, patch);
    if (value === null) return null;
    const transform = this.kind === "log" ? Math.log : (x) => x;
    const [from, to] = [transform(this.from), transform(this.to)];
    if (to <= from) return 0.5; // all values are the same
    return Math.max(0, Math.min(1, (transform(Math.max(value, 1e-30)) - from) / (to - from)));
  }

  text(value) {
    if (this.color === "entropy") return `${((1 - value) * this.maxEntropy).toFixed(1)} nats`;
    return this.cosine || this.color === "difference" ? value.toFixed(2) : percent(value);
  }

  // The texts at the ends of the scale, and its name.
  ends() {
    const name = this.name();
    if (!this.hasValues) return ["", "", name];
    if (this.kind === "layer") {
      const low = this.text(this.from);
      const ends = [low.startsWith("<") ? low : `≤ ${low}`, `≥ ${this.text(this.to)}`];
      return [...ends, `${name}, fitted to this layer`];
    }
    if (this.color === "difference") return ["same", "opposed", name];
    const ends = [this.text(this.from), this.text(this.to)];
    if (this.color === "entropy") ends[1] += ": sure";
    if (this.kind === "log") {
      const middle = percent(Math.sqrt(LOG_FLOOR * this.to));
      return [`≤ ${ends[0]}`, ends[1], `${name}, logarithmic: ${middle} in the middle`];
    }
    const range = [this.text(this.least), this.text(this.most)];
    return [...ends, this.cosine ? name : `${name} (here ${range.join(" to ")})`];
  }

  name() {
    if (this.color === "entropy") {
      return this.cosine ? "certainty: not for cosines" : "certainty: entropy over all words";
    }
    if (this.color === "word") {
      return `${this.cosine ? "cosine with" : "probability of"} “${this.word}”`;
    }
    if (this.color === "difference") return "how far the two disagree";
    return `${this.cosine ? "cosine" : "probability"} of the top word`;
  }

  // Whether the layer covers so small a part of the scale that all patches look the same.
  get flat() {
    const fixed = this.kind === "fixed" && !this.cosine && this.hasValues;
    return fixed && this.most - this.least < FLAT;
  }
}

// The opacity of a color over the image: higher values cover more, but the image is always seen.
const cover = (share) => 0.1 + 0.5 * share;

class Palette {
  constructor(colors) {
    this.colors = colors;
    this.inks = colors.map((color) => {
      const linear = [1, 3, 5].map((at) => {
        const c = parseInt(color.slice(at, at + 2), 16) / 255;
        return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
      });
      const luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
      return luminance > 0.179 ? "#111111" : "#ffffff";
    });
  }
  index(share) {
    const last = this.colors.length - 1;
    return Math.max(0, Math.min(last, Math.round(share * last)));
  }
  color(share) {
    return share === null ? "#8a8f98" : this.colors[this.index(share)];
  }
  // Black or white, the one with more contrast.
  ink(share) {
    return share === null ? "#ffffff" : this.inks[this.index(share)];
  }
  gradient() {
    return `linear-gradient(to right, ${this.colors.join(", ")})`;
  }
}
