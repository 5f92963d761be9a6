// Lines above the images: where the searched word is likeliest, and where two models differ most.

class SearchBar {
  // goTo: called with a pane's number, and a slot and patch of that pane.
  constructor(panes, goTo) {
    Object.assign(this, { panes, goTo });
    this.element = make("div", "found");
    this.element.hidden = true;
  }
  // search: of search_payload.py, or null.
  show(search) {
    this.element.hidden = !search;
    const lines = (search ? search.panes : []).flatMap((found, number) => {
      if (!found) return [];
      const button = make("button", "", "Show me");
      button.type = "button";
      button.setAttribute("aria-label", `Show where ${this.panes[number].name} has it likeliest`);
      button.onclick = () => this.goTo(number, found.slot, found.patch);
      return make("p", "", found.text, " ", button);
    });
    if (search?.note) lines.push(make("p", "hint", search.note));
    this.element.replaceChildren(...lines);
  }
}

class DifferenceBar {
  // pin: called with a patch of the first pane.
  // among: how many words of each patch decide; undefined: all words do.
  constructor(panes, among, pin) {
    Object.assign(this, { panes, among, pin });
    this.element = make("div", "apart");
    fadeEdges(this.element);
  }
  by() {
    const text = `By the ${this.among} likeliest words of each patch.`;
    return this.among ? [make("span", "hint", text)] : [];
  }
  // patches: of the first pane.
  // matches: gives, for a patch of the first pane, the slot and patch in each pane.
  show(slot, patches, matches) {
    const lead = this.panes[0];
    this.element.hidden = !lead.difference;
    if (!lead.difference) return;
    const order = [...patches].sort((a, b) => lead.difference(slot, b) - lead.difference(slot, a));
    const chips = [];
    const pairs = new Set();
    for (const patch of order) {
      if (chips.length === 4 || lead.difference(slot, patch) < 0.02) break;
      const matched = matches(patch);
      const words = matched.map(([s, p], number) => this.panes[number].word(s, p, 0));
      if (pairs.has(words.join("\n"))) continue;
      pairs.add(words.join("\n"));
      const texts = matched.map(([s, p], number) => {
        const pane = this.panes[number];
        return `${words[number]} ${formattedValue(pane, s, pane.value(s, p, 0))}`;
      });
      const chip = make("button", "chip", texts.join("  |  "));
      chip.type = "button";
      chip.title = `${chip.textContent}. Pin the patch at ${lead.patchName(patch)}`;
      chip.onclick = () => this.pin(patch);
      chips.push(chip);
    }
    const same = (patch) => {
      const words = matches(patch).map(([s, p], number) => this.panes[number].word(s, p, 0));
      return lead.difference(slot, patch) < 0.005 && new Set(words).size === 1;
    };
    let text = "They differ most here (left | right):";
    if (!chips.length) {
      text = order.every(same)
        ? "The words are the same on both sides."
        : "At this layer they hardly differ.";
    }
    keepingFocus(this.element, () =>
      this.element.replaceChildren(make("span", "", text), ...chips, ...this.by()),
    );
  }
}
