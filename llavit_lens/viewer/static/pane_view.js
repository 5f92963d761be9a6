// One model on the page: its canvas, the card under the pointer, the layers in small, the panel of
// the pinned patch. It shows what `look` says, and calls `actions` for what the user does.

class PaneView {
  constructor(pane, picture, actions) {
    Object.assign(this, { pane, picture, actions });
    this.canvas = make("canvas", "picture");
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "application");
    this.canvas.setAttribute(
      "aria-label",
      `${pane.name}: the image with a word on each patch. Arrow keys move the pin, ` +
        "page up and down change the layer, plus and minus zoom.",
    );
    this.card = make("div", "card");
    this.card.hidden = true;
    this.note = make("div", "note");
    this.frame = make("div", "frame", null, this.canvas, this.card);
    this.strip = make("div", "strip");
    fadeEdges(this.strip);
    this.strip.setAttribute("role", "group");
    this.strip.setAttribute("aria-label", `All layers of ${pane.name} in small`);
    this.name = make("h3", "name", pane.name);
    this.panel = new PatchPanel(pane, picture, (slot) => actions.goTo(this, slot));
    this.left = make("div", "left", null, this.name, this.frame, this.note, this.strip);
    this.element = make("section", "column", null, this.left, this.panel.element);
    this.element.lastChild.dataset.name = pane.name;
    this.element.style.setProperty("--aspect", picture.size[0] / picture.size[1]);
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
    button.onclick = () => this.actions.goTo(this, number);
    this.strip.append(button);
    return { button, canvas };
  }

  listen() {
    const { canvas } = this;
    canvas.addEventListener("pointerdown", (event) => {
      this.pointers.set(event.pointerId, [event.clientX, event.clientY]);
      this.press = { at: [event.clientX, event.clientY], moved: false };
    });
    canvas.addEventListener("pointermove", (event) => this.move(event));
    const end = (event) => {
      const wasDown = this.pointers.delete(event.pointerId);
      if (event.type === "pointerup" && wasDown && this.press && !this.press.moved) {
        const patch = this.patchAt(event);
        this.actions.pin(this, patch);
        // a finger cannot hover: a tap shows the card, and the next one on the patch hides it
        const isShown = this.look.hovered === patch;
        if (event.pointerType === "touch") this.actions.hover(this, isShown ? undefined : patch);
        canvas.focus({ preventScroll: true });
      }
      if (!this.pointers.size) this.press = null;
    };
    canvas.addEventListener("pointerup", end);
    canvas.addEventListener("pointercancel", end);
    canvas.addEventListener("pointerleave", (event) => {
      this.pointers.delete(event.pointerId);
      if (event.pointerType !== "touch") this.actions.hover(this, undefined);
    });
    canvas.addEventListener("dblclick", (event) => {
      this.actions.zoom(event.shiftKey ? 0.5 : 2, this.fraction(event));
    });
    canvas.addEventListener(
      "wheel",
      (event) => {
        if (!event.ctrlKey && !event.metaKey) return; // a plain wheel scrolls the page
        event.preventDefault();
        this.actions.zoom(Math.exp(-event.deltaY / 200), this.fraction(event));
      },
      { passive: false },
    );
    canvas.addEventListener("keydown", (event) => this.actions.key(event));
  }

  move(event) {
    const before = this.pointers.get(event.pointerId);
    const now = [event.clientX, event.clientY];
    if (before) {
      const others = [...this.pointers].filter(([id]) => id !== event.pointerId);
      this.pointers.set(event.pointerId, now);
      const [dx, dy] = [now[0] - this.press.at[0], now[1] - this.press.at[1]];
      if (Math.hypot(dx, dy) > 5) this.press.moved = true;
      if (others.length) {
        const other = others[0][1];
        const distance = (point) => Math.hypot(point[0] - other[0], point[1] - other[1]) || 1;
        this.actions.zoom(distance(now) / distance(before), this.fraction(event));
        return;
      }
      if (this.press.moved) {
        const [width, height] = this.imageSize();
        this.actions.pan((now[0] - before[0]) / width, (now[1] - before[1]) / height);
        return;
      }
    }
    if (event.pointerType !== "touch") this.actions.hover(this, this.patchAt(event));
  }

  // Size of the whole image in CSS pixels.
  imageSize() {
    return placement(this.picture.size, this.room(), this.look.zoom).map(([, length]) => length);
  }
  room() {
    return [this.canvas.clientWidth, this.canvas.clientHeight];
  }
  // The position of an event, in fractions of the image's width and height.
  fraction(event) {
    const bounds = this.canvas.getBoundingClientRect();
    const [[left, width], [top, height]] = placement(
      this.picture.size,
      this.room(),
      this.look.zoom,
    );
    return [(event.clientX - bounds.left - left) / width, (event.clientY - bounds.top - top) / height];
  }
  patchAt(event) {
    return this.pane.at(...this.fraction(event), this.look.patches);
  }

  // The value that `make` gave last, as long as the words and their places stay the same.
  cached(look, key, make) {
    const text = JSON.stringify([look.slot, key]);
    if (this.cache?.text !== text || this.cache.lattice !== look.lattice) {
      this.cache = { text, lattice: look.lattice, value: make() };
    }
    return this.cache.value;
  }

  // Its size is for style.css to say; the image's shape is not known there.
  resize(zoomed) {
    this.canvas.style.touchAction = zoomed ? "none" : "pan-y";
  }

  draw(look) {
    this.look = look;
    look.cached = (key, make) => this.cached(look, key, make);
    const whole = paint(this.canvas, this.pane, this.picture, look);
    this.note.textContent = [
      look.words === "merged" ? "Neighbors with the same word share a label." : "",
      whole ? "" : "Words too small to read are cut or left out: hover, or zoom in.",
      "Zoom: Ctrl + wheel, or pinch.",
    ].join(" ");
    this.drawCard();
    this.thumbnails.forEach(({ button }, number) => {
      if (number === look.slot) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
    });
    showWithin(this.strip, this.thumbnails[look.slot].button, "Left", "Width");
  }

  // Only those with new colors: LinkedPanes keeps one scale for the same colors.
  drawThumbnails(look) {
    this.thumbnails.forEach((thumbnail, number) => {
      const colors = [look.scaleAt(number), look.lattice, look.background];
      if (thumbnail.colors?.every((part, i) => part === colors[i])) return;
      thumbnail.colors = colors;
      paintThumbnail(thumbnail.canvas, this.pane, look, number);
    });
  }

  // The top-k words of the patch under the pointer.
  drawCard() {
    const { hovered, slot } = this.look;
    this.card.hidden = hovered === undefined;
    if (hovered === undefined) return;
    const rows = [make("div", "where", this.pane.patchName(hovered))];
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
          make("span", "", formattedValue(this.pane, slot, value)),
          make("div", "track", null, bar),
        ),
      );
    }
    const entropy = this.pane.entropy(slot, hovered);
    const notes = [];
    if (isUnknown(this.pane, this.look, hovered)) {
      rows.push(make("div", "where", "What this patch shows is mixed or not known."));
    }
    if (entropy !== null) notes.push(`entropy ${(entropy * this.pane.maxEntropy).toFixed(2)} nats`);
    const value = this.pane.searchValue(slot, hovered);
    if (value !== null) {
      notes.push(`“${this.look.word}”: ${formattedValue(this.pane, slot, value)}`);
    }
    if (notes.length) rows.push(make("div", "where", notes.join(", ")));
    this.card.replaceChildren(...rows);
    this.placeCard(hovered);
  }

  placeCard(patch) {
    const room = this.room();
    const [x0, y0, x1, y1] = this.pane.box(patch);
    const [[left, width], [top, height]] = placement(this.picture.size, room, this.look.zoom);
    const [wide, tall] = [this.card.offsetWidth, this.card.offsetHeight];
    const right = left + x1 * width + 8;
    const x = right + wide <= room[0] ? right : left + x0 * width - wide - 8;
    const y = top + ((y0 + y1) / 2) * height - tall / 2;
    this.card.style.left = `${Math.max(0, Math.min(room[0] - wide, x))}px`;
    this.card.style.top = `${Math.max(0, Math.min(Math.max(0, room[1] - tall), y))}px`;
  }
}
