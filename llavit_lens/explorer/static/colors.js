// What a patch's color stands for, on a scale from 0 to 1, and the colors themselves.

const LOWEST_SEARCHED = -9; // nats; below it a searched word's patch has the first color

// 0 to 1, or null where there is nothing to show.
function shade(pane, slot, patch, color) {
  const cosine = pane.isCosine(slot);
  const scaled = (values, value) => {
    const [low, high] = pane.range(slot, values);
    return (value - low) / (high - low);
  };
  if (color === "entropy") {
    const entropy = pane.entropy(slot, patch);
    return entropy === null ? null : 1 - entropy;
  }
  if (color === "word") {
    if (!pane.search) return null;
    const code = pane.search[slot * pane.n + patch];
    if (cosine) return scaled(pane.search, toCosine(code));
    return Math.max(0, 1 - toLogProbability(code) / LOWEST_SEARCHED);
  }
  if (color === "difference") return pane.difference ? pane.difference(slot, patch) : null;
  const value = pane.value(slot, patch, 0);
  return cosine ? scaled(pane.codes, value) : value;
}

// What stands at the ends of the scale, and its name.
function scaleEnds(pane, slot, color, word) {
  const cosine = pane.isCosine(slot);
  const range = (values) => pane.range(slot, values).map((value) => value.toFixed(2));
  if (color === "entropy") {
    const name = cosine ? "certainty: not for cosines" : "certainty (entropy of all words)";
    return [`${pane.maxEntropy.toFixed(1)} nats`, "0 nats: sure", name];
  }
  if (color === "word") {
    const name = `${cosine ? "cosine with" : "log-probability of"} “${word}”`;
    if (cosine) return [...range(pane.search), name];
    return [percent(Math.exp(LOWEST_SEARCHED)), "100 %", name];
  }
  if (color === "difference") return ["same", "opposed", "how far the two disagree"];
  if (cosine) return [...range(pane.codes), "cosine of the top word"];
  return ["0 %", "100 %", "probability of the top word"];
}

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
  // Black or white, whichever stands out more.
  ink(share) {
    return share === null ? "#ffffff" : this.inks[this.index(share)];
  }
  gradient() {
    return `linear-gradient(to right, ${this.colors.join(", ")})`;
  }
}
