// Lines above the pictures: where a searched word was found, and where two models differ most.

class FoundBar {
  // go: called with a pane's number, and a slot and patch of that pane.
  constructor(panes, go) {
    Object.assign(this, { panes, go });
    this.element = make("div", "found");
    this.element.hidden = true;
  }
  // search: see search.py, or null.
  show(search) {
    this.element.hidden = !search;
    const lines = (search ? search.panes : []).flatMap((found, number) => {
      if (!found) return [];
      const button = make("button", "", "Show me");
      button.type = "button";
      button.setAttribute("aria-label", `Show where ${this.panes[number].name} has it likeliest`);
      button.onclick = () => this.go(number, found.slot, found.patch);
      return make("p", "", found.text, " ", button);
    });
    this.element.replaceChildren(...lines);
  }
}

class ApartBar {
  // pin: called with a patch of the first pane.
  constructor(panes, pin) {
    Object.assign(this, { panes, pin });
    this.element = make("div", "apart");
  }
  // patches: of the first pane; seen: the pairs of slot and patch that a patch of it stands for.
  show(slot, patches, seen) {
    const lead = this.panes[0];
    this.element.hidden = !lead.difference;
    if (!lead.difference) return;
    const order = [...patches].sort((a, b) => lead.difference(slot, b) - lead.difference(slot, a));
    const chips = [];
    const said = new Set();
    for (const patch of order) {
      if (chips.length === 4 || lead.difference(slot, patch) < 0.02) break;
      const places = seen(patch);
      const words = places.map(([own, at], number) => this.panes[number].word(own, at, 0));
      if (said.has(words.join("\n"))) continue;
      said.add(words.join("\n"));
      const texts = places.map(([own, at], number) => {
        const pane = this.panes[number];
        return `${words[number]} ${shownValue(pane, own, pane.value(own, at, 0))}`;
      });
      const chip = make("button", "chip", texts.join("  |  "));
      chip.type = "button";
      chip.title = `${chip.textContent}. Pin the patch at ${lead.place(patch)}`;
      chip.onclick = () => this.pin(patch);
      chips.push(chip);
    }
    const text = chips.length
      ? "They differ most here (left | right):"
      : "At this layer they hardly differ.";
    keepingFocus(this.element, () =>
      this.element.replaceChildren(make("span", "", text), ...chips),
    );
  }
}
