// Words on a canvas: one on every patch, or one on every region of neighbors with the same word.
// Text is drawn, never parsed.

const SMALLEST_TEXT = 8.5; // CSS pixels: smaller words cannot be read
const SHORTENED_TEXT = 9; // for words that are cut
const LEAST_LETTERS = 4; // of a word that is cut: fewer say nothing
const LARGEST_TEXT = 20;
const BARRED = 32; // least height of patches with a bar for the word

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

// The text as large as its room allows, cut with an ellipsis if necessary; null if nothing fits.
function fittedText(context, family, text, width, height) {
  const size = Math.min(LARGEST_TEXT, height, width / (textWidth(context, family, text) || 1));
  if (size >= SMALLEST_TEXT) return { text, size };
  const small = Math.min(SHORTENED_TEXT, height);
  if (small < SMALLEST_TEXT) return null;
  const letters = Array.from(text);
  while (letters.length > 1 && textWidth(context, family, `${letters.join("")}…`) > width / small) {
    letters.pop();
  }
  if (letters.length < LEAST_LETTERS) return null;
  const cut = `${letters.join("")}…`;
  return textWidth(context, family, cut) > width / small ? null : { text: cut, size: small };
}

// Text with a rim: it is legible on any image.
function drawText(context, family, { text, size }, x, y, dark) {
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

// A word on every patch, on a bar of its color if there is room for one. False if some patches have
// no room for their whole word.
function drawWordsOnPatches(context, pane, drawn, look) {
  let whole = true;
  for (const { patch, box: [x, y, w, h], share } of drawn) {
    const margin = Math.min(2, 0.05 * w);
    const room = look.barred(h) ? w - 2 * margin - 2 : 0.87 * (w - 2); // without a bar it is bold
    const text = fittedText(context, look.family, pane.word(look.slot, patch, 0), room, 0.42 * h);
    whole = whole && text?.text === pane.word(look.slot, patch, 0);
    let rectangle = [x, y, w, h];
    if (text && look.barred(h)) {
      const bar = barOf(h, text.size);
      rectangle = [x + margin, y + h - bar - margin, w - 2 * margin, bar];
      context.fillStyle = look.palette.color(share);
      context.fillRect(...rectangle);
      context.font = `${text.size}px ${look.family}`;
      context.textAlign = "center";
      context.textBaseline = "middle";
      context.fillStyle = look.palette.ink(share);
      context.fillText(text.text, x + w / 2, y + h - margin - bar / 2 + 0.5);
    } else if (text) {
      drawText(context, look.family, text, x + w / 2, y + h / 2, isBright(share));
    }
    drawMark(context, pane, look, patch, rectangle, [x, y, w, h]);
  }
  return whole;
}

// Whether words are marked as true or not.
const areMarked = (pane, look) => pane.truth && look.truth && !HEAT.has(look.color);

// Whether a patch has the mark of those that cannot be judged.
const isUnknown = (pane, look, patch) =>
  areMarked(pane, look) && look.labels !== "off" && pane.verdict(look.slot, patch) === 0;

// The marks of the figures: a green outline on a word that is true of its patch, a diagonal on a
// patch of which nothing is known, nothing on a word that is not true.
function drawMark(context, pane, look, patch, [x, y, w, h], whole) {
  if (isUnknown(pane, look, patch)) {
    const [left, top, width, height] = whole;
    context.beginPath();
    context.moveTo(left, top + height);
    context.lineTo(left + width, top);
    for (const [style, line] of [["rgba(0, 0, 0, 0.5)", 2], ["rgba(255, 255, 255, 0.8)", 1]]) {
      context.strokeStyle = style;
      context.lineWidth = line;
      context.stroke();
    }
  } else if (areMarked(pane, look) && pane.verdict(look.slot, patch) === 2) {
    context.strokeStyle = RIGHT;
    context.lineWidth = Math.max(1, Math.min(2, 0.05 * w));
    context.strokeRect(x, y, w, h);
  }
}

// A word on every region where it can be read, and these regions' borders. False if some regions have no room for their
// whole word.
function drawWordsOnRegions(context, pane, drawn, look, room) {
  const { lattice } = look;
  const boxes = new Map(drawn.map(({ patch, box }) => [lattice.number.get(patch), box]));
  const { labels, borders, whole } = look.cached([room, look.zoom, look.family], () =>
    layOutRegions(context, pane, boxes, look, room),
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
  for (const { patch, box } of drawn) drawMark(context, pane, look, patch, box, box);
  for (const { text, at, patches } of labels) {
    const shares = patches.map((patch) => look.scale.share(pane, look.slot, patch) ?? 0);
    const mean = shares.reduce((a, b) => a + b) / shares.length;
    drawText(context, look.family, text, ...at, isBright(mean));
  }
  return whole;
}

function layOutRegions(context, pane, boxes, look, room) {
  const { lattice } = look;
  const words = lattice.patches.map((patch, i) =>
    boxes.has(i) ? pane.word(look.slot, patch, 0) : undefined,
  );
  const { region, regions } = regionsOf(lattice, words);
  const visiblePart = (i) => {
    const [x, y, w, h] = boxes.get(i);
    return [Math.max(0, x), Math.max(0, y), Math.min(room[0], x + w), Math.min(room[1], y + h)];
  };
  const labels = [];
  const labelled = new Set(); // numbers of regions
  let whole = true;
  for (const [number, { word, members }] of regions.entries()) {
    const fit = (w, h) => fittedText(context, look.family, word, 0.87 * (w - 2), 0.55 * h);
    const size = (w, h) => {
      const text = fit(w, h);
      return text ? text.size + (text.text === word ? 100 : 0) : 0; // a small text is better than a cut one
    };
    const [x0, y0, x1, y1] = largestRectangle(lattice, members, visiblePart, size);
    const text = fit(x1 - x0, y1 - y0);
    whole = whole && text?.text === word;
    if (!text) continue;
    labelled.add(number);
    const patches = members.map((i) => lattice.patches[i]);
    labels.push({ text, at: [(x0 + x1) / 2, (y0 + y1) / 2], patches });
  }
  const borders = [];
  for (const [i, [x, y, w, h]] of boxes) {
    const [row, col] = [lattice.rows[i], lattice.cols[i]];
    // without a label a region is its color, which needs no border
    const differs = (other) =>
      other >= 0 &&
      region[other] >= 0 &&
      region[other] !== region[i] &&
      (labelled.has(region[other]) || labelled.has(region[i]));
    if (differs(lattice.at(row, col + 1))) borders.push([x + w, y, x + w, y + h]);
    if (differs(lattice.at(row + 1, col))) borders.push([x, y + h, x + w, y + h]);
  }
  return { labels, borders, whole };
}
