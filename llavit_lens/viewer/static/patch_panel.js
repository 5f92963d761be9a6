// The words of the pinned patch through all layers, as a table.

class PatchPanel {
  // goTo: called with the slot that the user chose.
  constructor(pane, picture, goTo) {
    Object.assign(this, { pane, picture, goTo });
    this.element = make("div", pane.slots.length <= 10 ? "panel few" : "panel");
  }

  draw(look) {
    const { pinned } = look;
    if (pinned === null || pinned === undefined) {
      this.element.replaceChildren(
        make("p", "hint", "Click a patch to see its words through all layers."),
      );
      return;
    }
    const crop = make("canvas", "crop");
    crop.width = crop.height = 96;
    const head = make("div", "head", null, crop);
    head.append(
      make(
        "div",
        "",
        null,
        make("h4", "", `Patch at ${this.pane.patchName(pinned)}`),
        make("p", "hint", "Its likeliest words, layer by layer. Click a layer to go there."),
      ),
    );
    const table = make("table", "words");
    table.setAttribute("aria-label", `Words of the patch at ${this.pane.patchName(pinned)}`);
    const body = make("tbody");
    this.pane.slots.forEach((slot, number) => body.append(this.row(slot, number, look)));
    table.append(body);
    const scroller = make("div", "scroller", null, table);
    const before = this.element.querySelector(".scroller");
    const scrolled = before ? before.scrollTop : 0;
    keepingFocus(this.element, () => this.element.replaceChildren(head, scroller));
    scroller.scrollTop = scrolled;
    showWithin(scroller, body.children[look.slot], "Top", "Height");
    paintCrop(crop, this.pane, this.picture, pinned, look.accent);
  }

  row(slot, number, look) {
    const go = make("button", "go", slot.short);
    go.type = "button";
    go.title = slot.name;
    go.setAttribute("aria-label", slot.name);
    go.onclick = () => this.goTo(number);
    const row = make("tr", number === look.slot ? "current" : "", null);
    const head = make("th", "", null, go);
    head.scope = "row";
    row.append(head);
    for (let rank = 0; rank < this.pane.k; rank++) {
      const value = this.pane.value(number, look.pinned, rank);
      const share = slot.cosine ? Math.max(0, value) : value;
      const word = make("span", "", this.pane.word(number, look.pinned, rank));
      const bar = make("i");
      bar.style.width = `${Math.min(100, 100 * share)}%`;
      const cell = make("td", "", null, bar, word, make("small", "", formattedValue(this.pane, number, value)));
      cell.title = `${word.textContent}: ${formattedValue(this.pane, number, value)}`;
      row.append(cell);
    }
    return row;
  }
}
