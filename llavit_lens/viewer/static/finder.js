// A search without a model: among the words that the page holds, the k likeliest of each patch and
// those that were tracked.

const MOST_SUGGESTED = 5000;

class Finder {
  // find: called with a search as `setSearch` of explorer.js takes it, or with null.
  constructor(panes, find) {
    Object.assign(this, { panes, find });
    this.input = make("input");
    Object.assign(this.input, { type: "search", placeholder: "Find a word", autocomplete: "off" });
    this.input.setAttribute("aria-label", "Find a word");
    this.input.oninput = () => this.find(this.search(this.input.value));
    this.suggestions = make("datalist");
    this.suggestions.id = `llavit-words-${Math.random().toString(36).slice(2)}`;
    this.input.onfocus = () => this.suggest();
    this.element = make("span", "finder", null, this.input, this.suggestions);
  }

  suggest() {
    if (this.suggestions.childElementCount) return;
    const words = new Set(
      this.panes.flatMap((pane) => [...pane.tracked.map(({ word }) => word), ...pane.strings]),
    );
    for (const word of Array.from(words).slice(0, MOST_SUGGESTED).sort()) {
      const option = make("option");
      option.value = word;
      this.suggestions.append(option);
    }
    this.input.setAttribute("list", this.suggestions.id);
  }

  search(text) {
    const word = text.trim();
    if (!word) return null;
    const panes = this.panes.map((pane) => foundIn(pane, word));
    const ks = new Set(this.panes.map((pane) => pane.k));
    const among = `among the ${Array.from(ks).join(" or ")} likeliest words of each patch`;
    if (panes.every((found) => !found)) return { word, panes, note: `“${word}” is not ${among}.` };
    const note = panes.every((found) => !found || found.complete) ? "" : `Searched ${among}.`;
    return { word, panes, note };
  }
}

// Where a pane has a word, however it is written; null if it has it nowhere. Several tokens can be
// read as one word: their probabilities are added, of their cosines the largest counts.
function foundIn(pane, word) {
  const wanted = word.toLowerCase();
  const isWord = (text) => text.trim().toLowerCase() === wanted;
  const tokens = new Set();
  pane.strings.forEach((text, token) => isWord(text) && tokens.add(token));
  const tracked = pane.tracked.filter((one) => isWord(one.word));
  if (!tokens.size && !tracked.length) return null;
  const values = new Map();
  pane.ids.forEach((token, i) => {
    if (!tokens.has(token)) return;
    const at = Math.floor(i / pane.k);
    const value = pane.value(Math.floor(at / pane.n), at % pane.n, i % pane.k);
    const before = values.get(at) ?? (pane.isCosine(Math.floor(at / pane.n)) ? -1 : 0);
    values.set(at, pane.isCosine(Math.floor(at / pane.n)) ? Math.max(before, value) : before + value);
  });
  if (tracked.length) {
    const first = pane.layers.findIndex((layer) => layer !== null);
    tracked[0].codes.forEach((_, i) => {
      const at = first * pane.n + i;
      const sum = tracked.reduce((all, { codes }) => all + Math.exp(toLogProbability(codes[i])), 0);
      values.set(at, Math.max(sum, values.get(at) ?? 0));
    });
  }
  const at = likeliest(pane, values);
  if (at === null) return null;
  const [slot, patch] = [Math.floor(at / pane.n), at % pane.n];
  const value = formattedValue(pane, slot, values.get(at));
  return {
    slot,
    patch,
    complete: tracked.length > 0,
    text: `${pane.name}: likeliest at ${pane.slots[slot].name}, ${pane.patchName(patch)}: ${value}.`,
    value: (s, p) => values.get(s * pane.n + p) ?? null,
  };
}

// Of the slots and patches on the image; cosines are no probabilities, so layers go first.
function likeliest(pane, values) {
  const onImage = new Set(pane.visible());
  let best = null;
  for (const [at, value] of values) {
    if (!onImage.has(at % pane.n)) continue;
    const cosine = pane.isCosine(Math.floor(at / pane.n));
    if (best && (cosine > best.cosine || (cosine === best.cosine && value <= best.value))) continue;
    best = { at, value, cosine };
  }
  return best && best.at;
}
