// The tools above the pictures: play and slider, what the colors show, switches, zoom, the scale.
// They tell `act` what a person does, and `update` shows how things stand.

const SWITCHES = { words: "Words", truth: "Mark true words", tiles: "Tiles in detail" };

class Controls {
  constructor(slots, palette, switches, act) {
    Object.assign(this, { slots, act });
    this.play = make("button", "play");
    this.play.type = "button";
    this.play.onclick = () => act.play();
    this.slider = make("input");
    Object.assign(this.slider, { type: "range", min: 0, max: slots.length - 1, step: 1 });
    this.slider.setAttribute("aria-label", "Layer");
    this.slider.oninput = () => act.slot(Number(this.slider.value));
    this.layer = make("output", "layer");
    const ends = make("div", "ends", null, make("span", "", "input"), make("span", "", "output"));
    const track = make("div", "slide", null, this.slider, ends);
    this.color = make("select");
    this.color.setAttribute("aria-label", "What the colors show");
    this.color.onchange = () => act.change({ color: this.color.value });
    const options = make("div", "options", null, make("label", "", "Color", this.color));
    this.boxes = Object.fromEntries(switches.map((key) => [key, this.makeSwitch(key, options)]));
    options.append(
      this.makeButton("−", "Zoom out", () => act.zoom(1 / 1.6)),
      this.makeButton("+", "Zoom in", () => act.zoom(1.6)),
      this.makeButton("Fit", "Whole picture", () => act.fit()),
    );
    const scale = make("div", "gradient");
    scale.style.background = palette.gradient();
    [this.low, this.high] = [make("span"), make("span")];
    this.meaning = make("span", "meaning");
    const legend = make("div", "legend", null, this.low, scale, this.high, this.meaning);
    this.elements = [
      make("div", "tools", null, this.play, track, this.layer),
      make("div", "second", null, options, legend),
    ];
    this.showPlaying(false);
  }

  makeSwitch(key, options) {
    const box = make("input");
    box.type = "checkbox";
    box.onchange = () => this.act.change({ [key]: box.checked });
    const label = make("label", "", null, box, SWITCHES[key]);
    if (key === "truth") label.append(make("span", "truth"));
    options.append(label);
    return box;
  }

  makeButton(text, name, pressed) {
    const button = make("button", "", text);
    button.type = "button";
    button.setAttribute("aria-label", name);
    button.onclick = pressed;
    return button;
  }

  // Pairs of a color's name and the text that people read.
  offerColors(colors) {
    this.color.replaceChildren(
      ...colors.map(([value, text]) => {
        const option = make("option", "", text);
        option.value = value;
        return option;
      }),
    );
  }

  showPlaying(playing) {
    this.play.textContent = playing ? "❚❚" : "▶";
    this.play.setAttribute("aria-label", playing ? "Stop" : "Play through the layers");
  }

  update(state, [low, high, meaning]) {
    const { name } = this.slots[state.slot];
    this.slider.value = state.slot;
    this.slider.setAttribute("aria-valuetext", name);
    this.layer.textContent = name;
    this.color.value = state.color;
    for (const [key, box] of Object.entries(this.boxes)) box.checked = state[key];
    this.low.textContent = low;
    this.high.textContent = high;
    this.meaning.textContent = meaning;
  }
}
