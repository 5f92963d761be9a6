// Words on a canvas: one on every patch, or one on every region of patches that have it in common.
// Text is drawn, never parsed.

const SMALLEST_TEXT = 7; // CSS pixels
const SHORTENED_TEXT = 8.5; // of words that are cut
const LARGEST_TEXT = 20;
const BARRED = 38; // height of patches that have a bar for the word

const widths = new Map();

// Width of a text per pixel of font size.
function textWidth(context, family, text) {
  const key = `${family} ${text}`;
  if (!widths.has(key)) {
    if (widths.size > 20000) widths.clear();
    context.font = `100px ${family}`;
    widths.set(key, context.measureText(text).width / 100);
  }
  return widths.get(key);
}

// The text as large as a room allows, cut with an ellipsis if it must be; null where nothing fits.
function fitted(context, family, text, width, height) {
  const size = Math.min(LARGEST_TEXT, height, width / (textWidth(context, family, text) || 1));
  if (size >= SMALLEST_TEXT) return { text, size };
  const small = Math.min(SHORTENED_TEXT, height);
  if (small < SMALLEST_TEXT) return null;
  const letters = Array.from(text);
  while (letters.length > 1 && textWidth(context, family, `${letters.join("")}…`) > width / small) {
    letters.pop();
  }
  if (letters.length < 2) return null; // one letter says nothing
  const cut = `${letters.join("")}…`;
  return textWidth(context, family, cut) > width / small ? null : { text: cut, size: small };
}

// Text that can be read on any photograph: with a rim.
function write(context, family, { text, size }, x, y, dark) {
  context.font = `600 ${size}px ${family}`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.lineJoin = "round";
  context.lineWidth = Math.max(2, 0.24 * size);
  context.strokeStyle = dark ? "rgba(255, 255, 255, 0.75)" : "rgba(0, 0, 0, 0.75)";
  context.strokeText(text, x, y);
  context.fillStyle = dark ? "#111111" : "#ffffff";
  context.fillText(text, x, y);
}

const isBright = (share) => share !== null && share > 0.62;
const barOf = (height, size) => Math.min(0.5 * height, 1.5 * size);

// A word on every patch, on a bar of its color where there is room for one. False if some patches
// have no room for their whole word.
function wordOnEach(context, pane, drawn, look) {
  let all = true;
  for (const { patch, box: [x, y, w, h], share } of drawn) {
    const margin = Math.min(2, 0.05 * w);
    const room = look.barred(h) ? w - 2 * margin - 2 : 0.87 * (w - 2); // without a bar it is bold
    const text = fitted(context, look.family, pane.word(look.slot, patch, 0), room, 0.42 * h);
    all = all && text?.text === pane.word(look.slot, patch, 0);
    let place = [x, y, w, h];
    if (text && look.barred(h)) {
      const bar = barOf(h, text.size);
      place = [x + margin, y + h - bar - margin, w - 2 * margin, bar];
      context.fillStyle = look.palette.color(share);
      context.fillRect(...place);
      context.font = `${text.size}px ${look.family}`;
      context.textAlign = "center";
      context.textBaseline = "middle";
      context.fillStyle = look.palette.ink(share);
      context.fillText(text.text, x + w / 2, y + h - margin - bar / 2 + 0.5);
    } else if (text) {
      write(context, look.family, text, x + w / 2, y + h / 2, isBright(share));
    }
    if (isMarked(pane, look, patch)) mark(context, place);
  }
  return all;
}

// Whether the top word is to be marked as true of its patch.
const isMarked = (pane, look, patch) =>
  look.truth && !HEAT.has(look.color) && pane.judged(look.slot, patch) === 2;

function mark(context, [x, y, w, h]) {
  context.strokeStyle = RIGHT;
  context.lineWidth = Math.max(1, Math.min(2, 0.05 * w));
  context.strokeRect(x, y, w, h);
}

// One word on each region of neighbors that have the same, and the regions' borders. False if some
// regions have no room for their whole word.
function wordOnRegions(context, pane, drawn, look, room) {
  const { lattice } = look;
  const boxes = new Map(drawn.map(({ patch, box }) => [lattice.number.get(patch), box]));
  const { labels, borders, all } = look.kept([room, look.zoom, look.family], () =>
    layOut(context, pane, boxes, look, room),
  );
  context.beginPath();
  for (const [x0, y0, x1, y1] of borders) {
    context.moveTo(x0, y0);
    context.lineTo(x1, y1);
  }
  for (const [style, width] of [["rgba(0, 0, 0, 0.45)", 2.5], ["rgba(255, 255, 255, 0.9)", 1]]) {
    context.strokeStyle = style;
    context.lineWidth = width;
    context.stroke();
  }
  for (const { patch, box } of drawn) if (isMarked(pane, look, patch)) mark(context, box);
  for (const { text, at, patches } of labels) {
    const shares = patches.map((patch) => look.scale.share(pane, look.slot, patch) ?? 0);
    const mean = shares.reduce((a, b) => a + b) / shares.length;
    write(context, look.family, text, ...at, isBright(mean));
  }
  return all;
}

function layOut(context, pane, boxes, look, room) {
  const { lattice } = look;
  const words = lattice.patches.map((patch, i) =>
    boxes.has(i) ? pane.word(look.slot, patch, 0) : undefined,
  );
  const { region, regions } = regionsOf(lattice, words);
  const seen = (i) => {
    const [x, y, w, h] = boxes.get(i);
    return [Math.max(0, x), Math.max(0, y), Math.min(room[0], x + w), Math.min(room[1], y + h)];
  };
  const labels = [];
  let all = true;
  for (const { word, members } of regions) {
    const fit = (w, h) => fitted(context, look.family, word, 0.87 * (w - 2), 0.55 * h);
    const size = (w, h) => {
      const text = fit(w, h);
      return text ? text.size + (text.text === word ? 100 : 0) : 0; // rather small than cut
    };
    const [x0, y0, x1, y1] = roomiest(lattice, members, seen, size);
    const text = fit(x1 - x0, y1 - y0);
    all = all && text?.text === word;
    if (!text) continue;
    const patches = members.map((i) => lattice.patches[i]);
    labels.push({ text, at: [(x0 + x1) / 2, (y0 + y1) / 2], patches });
  }
  const borders = [];
  for (const [i, [x, y, w, h]] of boxes) {
    const [row, col] = [lattice.rows[i], lattice.cols[i]];
    const differs = (other) => other >= 0 && region[other] >= 0 && region[other] !== region[i];
    if (differs(lattice.at(row, col + 1))) borders.push([x + w, y, x + w, y + h]);
    if (differs(lattice.at(row + 1, col))) borders.push([x, y + h, x + w, y + h]);
  }
  return { labels, borders, all };
}
