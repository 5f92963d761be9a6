// The tools above the images: play and slider, what the colors show, switches, zoom, the scale.
// They call `actions` for what the user does, and `update` shows the current state.

const SWITCHES = { large: "Large", truth: "Mark true words", tiles: "Tiles in detail" };
const LABELS = [
  ["each", "Each patch"],
  ["merged", "Merged"],
  ["off", "Hidden"],
];

class Controls {
  constructor(slots, palette, switches, actions) {
    Object.assign(this, { slots, actions });
    this.play = make("button", "play");
    this.play.type = "button";
    this.play.onclick = () => actions.play();
    this.slider = make("input");
    Object.assign(this.slider, { type: "range", min: 0, max: slots.length - 1, step: 1 });
    this.slider.setAttribute("aria-label", "Layer");
    this.slider.oninput = () => actions.slot(Number(this.slider.value));
    this.layer = make("output", "layer");
    const ends = make("div", "ends", null, make("span", "", "input"), make("span", "", "output"));
    const track = make("div", "slide", null, this.slider, ends);
    this.color = this.makeSelect("What the colors show", "color");
    this.scale = this.makeSelect("Scale of the colors", "scale");
    this.labels = this.makeSelect("How words are shown", "labels");
    setOptions(this.labels, LABELS);
    const options = make(
      "div",
      "options",
      null,
      make("label", "", "Color", this.color),
      make("label", "", "Scale", this.scale),
      make("label", "", "Words", this.labels),
    );
    this.options = options;
    this.boxes = Object.fromEntries(switches.map((key) => [key, this.makeSwitch(key, options)]));
    options.append(
      this.makeButton("−", "Zoom out", () => actions.zoom(1 / 1.6)),
      this.makeButton("+", "Zoom in", () => actions.zoom(1.6)),
      this.makeButton("Fit", "Whole image", () => actions.fit()),
    );
    const scale = make("div", "gradient");
    scale.style.background = palette.gradient();
    [this.low, this.high] = [make("span"), make("span")];
    this.meaning = make("span", "meaning");
    this.refit = this.makeButton("Fit the scale", "Fit the scale to this layer", () =>
      actions.change({ scale: "layer" }),
    );
    const range = make("div", "range", null, this.low, scale, this.high, this.refit);
    const legend = make("div", "legend", null, range, this.meaning);
    const tools = make("div", "tools", null, this.play, track, this.layer);
    tools.hidden = slots.length < 2;
    const second = make("div", "second", null, this.makeMore(options), options);
    this.elements = [make("div", "controls", null, tools, legend, second)];
    this.showPlaying(false);
  }

  // An element before the others of the second row.
  add(element) {
    this.options.prepend(element);
  }

  // On a narrow page this button shows and hides the options; a wide page hides the button.
  makeMore(options) {
    const more = make("button", "more", "Colors and words");
    more.type = "button";
    more.setAttribute("aria-expanded", "false");
    more.onclick = () => more.setAttribute("aria-expanded", options.classList.toggle("open"));
    return more;
  }

  makeSelect(name, key) {
    const select = make("select");
    select.setAttribute("aria-label", name);
    select.onchange = () => this.actions.change({ [key]: select.value });
    return select;
  }

  makeSwitch(key, options) {
    const box = make("input");
    box.type = "checkbox";
    box.onchange = () => this.actions.change({ [key]: box.checked });
    const label = make("label", "", null, box, SWITCHES[key]);
    if (key === "truth") {
      const [yes, unknown] = [make("span", "truth"), make("span", "unknown")];
      label.append(make("span", "signs", null, yes, " · plain: not true · ", unknown, " not known"));
    }
    options.append(label);
    return box;
  }

  makeButton(text, name, onClick) {
    const button = make("button", "", text);
    button.type = "button";
    button.setAttribute("aria-label", name);
    button.onclick = onClick;
    return button;
  }

  showPlaying(playing) {
    this.play.textContent = playing ? "❚❚" : "▶";
    this.play.setAttribute("aria-label", playing ? "Stop" : "Play through the layers");
  }

  update(state, scale) {
    const { name } = this.slots[state.slot];
    this.slider.value = state.slot;
    this.slider.setAttribute("aria-valuetext", name);
    this.layer.textContent = name;
    this.color.value = state.color;
    const kinds = scalesOf(state.color);
    setOptions(this.scale, SCALES.filter(([kind]) => kinds.includes(kind)));
    this.scale.value = scale.chosen;
    this.labels.value = state.labels;
    for (const [key, box] of Object.entries(this.boxes)) box.checked = state[key];
    // without words there is nothing to mark; some colors are not about the top word
    if (this.boxes.truth) {
      this.boxes.truth.disabled = state.labels === "off" || HEAT.has(state.color);
    }
    const [low, high, meaning] = scale.ends();
    this.low.textContent = low;
    this.high.textContent = high;
    this.meaning.textContent = meaning;
    this.refit.hidden = !scale.flat;
  }
}

// Sets the options of a select element: pairs of a value and the text that people read.
function setOptions(select, choices) {
  const current = Array.from(select.options, (option) => [option.value, option.textContent]);
  if (JSON.stringify(current) === JSON.stringify(choices)) return;
  select.replaceChildren(
    ...choices.map(([value, text]) => {
      const option = make("option", "", text);
      option.value = value;
      return option;
    }),
  );
}
