// One model on the page: its canvas, the card under the pointer, the layers in small, the table of
// the pinned patch. It shows what `look` says and tells `act` what a person does.

// An element with a class, a text and children; text is only ever set as text.
function make(tag, className, text, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined && text !== null) element.textContent = text;
  element.append(...children);
  return element;
}

// Scrolls a box (of position: relative), and nothing around it, until an element in it is seen.
function showWithin(box, element, side, length) {
  const from = element[`offset${side}`];
  const most = from + element[`offset${length}`] - box[`client${length}`];
  box[`scroll${side}`] = Math.min(from, Math.max(most, box[`scroll${side}`]));
}

class PaneView {
  constructor(pane, picture, act) {
    Object.assign(this, { pane, picture, act });
    this.canvas = make("canvas", "picture");
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "application");
    this.canvas.setAttribute(
      "aria-label",
      `${pane.name}: the picture with a word on each patch. Arrow keys move the pin, ` +
        "page up and down change the layer, plus and minus zoom.",
    );
    this.card = make("div", "card");
    this.card.hidden = true;
    this.note = make("div", "note");
    this.frame = make("div", "frame", null, this.canvas, this.card, this.note);
    this.strip = make("div", "strip");
    this.strip.setAttribute("role", "group");
    this.strip.setAttribute("aria-label", `All layers of ${pane.name} in small`);
    this.name = make("h3", "name", pane.name);
    this.panel = make("div", pane.slots.length <= 10 ? "panel few" : "panel");
    this.left = make("div", "left", null, this.name, this.frame, this.strip);
    this.element = make("section", "column", null, this.left, this.panel);
    this.element.lastChild.dataset.name = pane.name;
    this.thumbnails = pane.slots.map((slot, number) => this.makeThumbnail(slot, number));
    this.pointers = new Map();
    this.listen();
  }

  makeThumbnail(slot, number) {
    const canvas = make("canvas");
    const [width, height] = this.picture.size;
    const scale = 56 / Math.max(width, height);
    canvas.width = Math.max(8, Math.round(width * scale));
    canvas.height = Math.max(8, Math.round(height * scale));
    const button = make("button", "thumbnail", null, canvas, make("span", "", slot.short));
    button.type = "button";
    button.title = slot.name;
    button.setAttribute("aria-label", slot.name);
    button.onclick = () => this.act.goTo(this, number);
    this.strip.append(button);
    return { button, canvas };
  }

  listen() {
    const { canvas } = this;
    canvas.addEventListener("pointerdown", (event) => {
      this.pointers.set(event.pointerId, [event.clientX, event.clientY]);
      this.start = { at: [event.clientX, event.clientY], moved: false };
    });
    canvas.addEventListener("pointermove", (event) => this.move(event));
    const end = (event) => {
      const known = this.pointers.delete(event.pointerId);
      if (event.type === "pointerup" && known && this.start && !this.start.moved) {
        const patch = this.patchAt(event);
        this.act.pin(this, patch);
        // a finger cannot hover: a tap shows the card, and the next one on the patch hides it
        const shown = this.look.hovered === patch;
        if (event.pointerType === "touch") this.act.hover(this, shown ? undefined : patch);
        canvas.focus({ preventScroll: true });
      }
      if (!this.pointers.size) this.start = null;
    };
    canvas.addEventListener("pointerup", end);
    canvas.addEventListener("pointercancel", end);
    canvas.addEventListener("pointerleave", (event) => {
      this.pointers.delete(event.pointerId);
      if (event.pointerType !== "touch") this.act.hover(this, undefined);
    });
    canvas.addEventListener("dblclick", (event) => {
      this.act.zoom(event.shiftKey ? 0.5 : 2, this.fraction(event));
    });
    canvas.addEventListener(
      "wheel",
      (event) => {
        if (!event.ctrlKey && !event.metaKey) return; // a plain wheel scrolls the page
        event.preventDefault();
        this.act.zoom(Math.exp(-event.deltaY / 200), this.fraction(event));
      },
      { passive: false },
    );
    canvas.addEventListener("keydown", (event) => this.act.key(this, event));
  }

  move(event) {
    const before = this.pointers.get(event.pointerId);
    const now = [event.clientX, event.clientY];
    if (before) {
      const others = [...this.pointers].filter(([id]) => id !== event.pointerId);
      this.pointers.set(event.pointerId, now);
      const [dx, dy] = [now[0] - this.start.at[0], now[1] - this.start.at[1]];
      if (Math.hypot(dx, dy) > 5) this.start.moved = true;
      if (others.length) {
        const other = others[0][1];
        const distance = (point) => Math.hypot(point[0] - other[0], point[1] - other[1]) || 1;
        this.act.zoom(distance(now) / distance(before), this.fraction(event));
        return;
      }
      if (this.start.moved) {
        const spread = this.spread();
        this.act.pan((now[0] - before[0]) / spread[0], (now[1] - before[1]) / spread[1]);
        return;
      }
    }
    if (event.pointerType !== "touch") this.act.hover(this, this.patchAt(event));
  }

  // Size of the whole picture in CSS pixels.
  spread() {
    return placed(this.picture.size, this.room(), this.look.zoom).map(([, length]) => length);
  }
  room() {
    return [this.canvas.clientWidth, this.canvas.clientHeight];
  }
  // The place of an event as fractions of the picture's width and height.
  fraction(event) {
    const bounds = this.canvas.getBoundingClientRect();
    const [[left, width], [top, height]] = placed(
      this.picture.size,
      this.room(),
      this.look.zoom,
    );
    return [(event.clientX - bounds.left - left) / width, (event.clientY - bounds.top - top) / height];
  }
  patchAt(event) {
    return this.pane.at(...this.fraction(event), this.look.patches);
  }

  resize(zoomed) {
    const [width, height] = this.picture.size;
    const room = this.frame.clientWidth;
    const most = Math.max(260, 0.8 * window.innerHeight);
    this.canvas.style.height = `${Math.round(Math.min(most, (room * height) / width))}px`;
    this.canvas.style.touchAction = zoomed ? "none" : "pan-y";
  }

  draw(look) {
    this.look = look;
    const unreadable = paint(this.canvas, this.pane, this.picture, look);
    this.note.textContent = unreadable && look.words ? "Zoom in to read every word" : "";
    this.drawCard();
    this.thumbnails.forEach(({ button }, number) => {
      if (number === look.slot) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
    });
    showWithin(this.strip, this.thumbnails[look.slot].button, "Left", "Width");
  }

  drawThumbnails(look) {
    this.thumbnails.forEach(({ canvas }, number) =>
      paintThumbnail(canvas, this.pane, this.picture, look, number),
    );
  }

  // The top-k words of the patch under the pointer.
  drawCard() {
    const { hovered, slot } = this.look;
    this.card.hidden = hovered === undefined;
    if (hovered === undefined) return;
    const rows = [make("div", "where", this.pane.place(hovered))];
    for (let rank = 0; rank < this.pane.k; rank++) {
      const value = this.pane.value(slot, hovered, rank);
      const bar = make("i", "share");
      bar.style.width = `${Math.max(1, Math.min(100, 100 * value))}%`;
      rows.push(
        make(
          "div",
          "entry",
          null,
          make("b", "", this.pane.word(slot, hovered, rank)),
          make("span", "", shownValue(this.pane, slot, value)),
          make("div", "track", null, bar),
        ),
      );
    }
    const entropy = this.pane.entropy(slot, hovered);
    const notes = [];
    if (entropy !== null) notes.push(`entropy ${(entropy * this.pane.maxEntropy).toFixed(2)} nats`);
    const searched = this.pane.searched(slot, hovered);
    if (searched !== null) {
      notes.push(`“${this.look.word}”: ${shownValue(this.pane, slot, searched)}`);
    }
    if (notes.length) rows.push(make("div", "where", notes.join(", ")));
    this.card.replaceChildren(...rows);
    this.placeCard(hovered);
  }

  placeCard(patch) {
    const room = this.room();
    const [x0, y0, x1, y1] = this.pane.box(patch);
    const [[left, width], [top, height]] = placed(this.picture.size, room, this.look.zoom);
    const [wide, tall] = [this.card.offsetWidth, this.card.offsetHeight];
    const right = left + x1 * width + 8;
    const x = right + wide <= room[0] ? right : left + x0 * width - wide - 8;
    const y = top + ((y0 + y1) / 2) * height - tall / 2;
    this.card.style.left = `${Math.max(0, Math.min(room[0] - wide, x))}px`;
    this.card.style.top = `${Math.max(0, Math.min(Math.max(0, room[1] - tall), y))}px`;
  }

  // The pinned patch: its words through all layers.
  drawPanel(look) {
    const { pinned } = look;
    if (pinned === null || pinned === undefined) {
      this.panel.replaceChildren(
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
        make("h4", "", `Patch at ${this.pane.place(pinned)}`),
        make("p", "hint", "Its likeliest words, layer by layer. Click a layer to go there."),
      ),
    );
    const table = make("table", "words");
    table.setAttribute("aria-label", `Words of the patch at ${this.pane.place(pinned)}`);
    const body = make("tbody");
    this.pane.slots.forEach((slot, number) => body.append(this.row(slot, number, look)));
    table.append(body);
    const scroller = make("div", "scroller", null, table);
    const before = this.panel.querySelector(".scroller");
    const scrolled = before ? before.scrollTop : 0;
    this.panel.replaceChildren(head, scroller);
    scroller.scrollTop = scrolled;
    showWithin(scroller, body.children[look.slot], "Top", "Height");
    paintCrop(crop, this.pane, this.picture, pinned, look.accent);
  }

  row(slot, number, look) {
    const go = make("button", "go", slot.short);
    go.type = "button";
    go.title = slot.name;
    go.setAttribute("aria-label", slot.name);
    go.onclick = () => this.act.goTo(this, number);
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
      const cell = make("td", "", null, bar, word, make("small", "", shownValue(this.pane, number, value)));
      cell.title = `${word.textContent}: ${shownValue(this.pane, number, value)}`;
      row.append(cell);
    }
    return row;
  }
}
