// A picture with its words, painted on a canvas. Text is drawn, never parsed.

const SMALLEST_TEXT = 7; // CSS pixels
const LARGEST_TEXT = 20;
const RIGHT = "#00c853"; // outline of a word that is true of its patch, as in the figures
const HEAT = new Set(["word", "difference"]); // colors that fill patches

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

// Where the picture lies on the canvas: the part around zoom.center, zoom.scale times as large as
// the whole that fits.
function placed(size, room, zoom) {
  const scale = Math.min(room[0] / size[0], room[1] / size[1]) * zoom.scale;
  return [0, 1].map((axis) => {
    const length = size[axis] * scale;
    const start = room[axis] / 2 - zoom.center[axis] * length;
    const slack = room[axis] - length;
    return [slack > 0 ? slack / 2 : Math.min(0, Math.max(slack, start)), length];
  });
}

function paint(canvas, pane, picture, look) {
  const room = [canvas.clientWidth, canvas.clientHeight];
  const density = window.devicePixelRatio || 1;
  const pixels = room.map((length) => Math.round(length * density));
  if (canvas.width !== pixels[0]) canvas.width = pixels[0];
  if (canvas.height !== pixels[1]) canvas.height = pixels[1];
  const context = canvas.getContext("2d");
  context.setTransform(density, 0, 0, density, 0, 0);
  context.clearRect(0, 0, ...room);
  const [[left, width], [top, height]] = placed(picture.size, room, look.zoom);
  context.imageSmoothingQuality = "high";
  if (picture.image.complete && picture.image.naturalWidth) {
    context.drawImage(picture.image, left, top, width, height);
  }
  const rectangle = (patch) => {
    const [x0, y0, x1, y1] = pane.box(patch);
    return [left + x0 * width, top + y0 * height, (x1 - x0) * width, (y1 - y0) * height];
  };
  fadeUnseen(context, look, pane, [left, top, width, height]);
  let unreadable = 0;
  for (const patch of look.patches) {
    const [x, y, w, h] = rectangle(patch);
    if (x > room[0] || y > room[1] || x + w < 0 || y + h < 0) continue;
    if (!paintPatch(context, pane, patch, [x, y, w, h], look)) unreadable += 1;
  }
  outline(context, look.hovered, rectangle, "#ffffff", 1);
  outline(context, look.pinned, rectangle, look.accent, 3);
  return unreadable > 0;
}

// What the model does not see of the picture.
function fadeUnseen(context, look, pane, [left, top, width, height]) {
  const bounds = [1, 1, 0, 0];
  for (const patch of look.patches) {
    const box = pane.box(patch);
    for (const side of [0, 1]) {
      bounds[side] = Math.min(bounds[side], box[side]);
      bounds[side + 2] = Math.max(bounds[side + 2], box[side + 2]);
    }
  }
  const [x0, y0, x1, y1] = bounds;
  if (x0 <= 0 && y0 <= 0 && x1 >= 1 && y1 >= 1) return;
  context.save();
  context.beginPath();
  context.rect(left, top, width, height);
  context.rect(left + x0 * width, top + y0 * height, (x1 - x0) * width, (y1 - y0) * height);
  context.clip("evenodd");
  context.globalAlpha = 0.75;
  context.fillStyle = look.background;
  context.fillRect(left, top, width, height);
  context.restore();
}

// False if there is no room for the word.
function paintPatch(context, pane, patch, [x, y, w, h], look) {
  const share = shade(pane, look.slot, patch, look.color);
  const fill = look.palette.color(share);
  const heat = HEAT.has(look.color);
  const text = look.words ? pane.word(look.slot, patch, 0) : "";
  const margin = Math.min(2, 0.05 * w);
  const room = w - 2 * margin - 2;
  const longest = textWidth(context, look.family, text) || 1;
  let size = Math.min(LARGEST_TEXT, 0.42 * h, room / longest);
  let shown = text;
  if (size < SMALLEST_TEXT && text && w >= 3.2 * SMALLEST_TEXT) {
    size = Math.min(SMALLEST_TEXT + 1, 0.42 * h);
    shown = clip(context, look.family, text, room / size);
  }
  const readable = size >= SMALLEST_TEXT - 0.01;
  const bar = !heat && readable && look.words ? Math.min(0.5 * h, 1.5 * size) : 0;
  context.fillStyle = fill;
  if (bar) {
    context.fillRect(x + margin, y + h - bar - margin, w - 2 * margin, bar);
  } else if (heat || look.words) {
    context.globalAlpha = heat ? 0.5 + 0.35 * (share ?? 0) : 0.6;
    context.fillRect(x, y, w, h);
    context.globalAlpha = 1;
  }
  context.strokeStyle = "rgba(255, 255, 255, 0.45)";
  context.lineWidth = 0.5;
  context.strokeRect(x, y, w, h);
  if (!text) return true;
  if (readable) {
    context.font = `${size}px ${look.family}`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.fillStyle = look.palette.ink(share);
    context.fillText(shown, x + w / 2, y + h - margin - (bar || 1.4 * size) / 2 + 0.5);
  }
  if (look.truth && !heat && pane.judged(look.slot, patch) === 2) {
    context.strokeStyle = RIGHT;
    context.lineWidth = Math.min(2, 0.08 * w);
    const tall = bar || h - 2 * margin;
    context.strokeRect(x + margin, y + h - tall - margin, w - 2 * margin, tall);
  }
  return readable;
}

function clip(context, family, text, room) {
  const letters = Array.from(text);
  while (letters.length > 1 && textWidth(context, family, `${letters.join("")}…`) > room) {
    letters.pop();
  }
  return `${letters.join("")}…`;
}

function outline(context, patch, rectangle, color, line) {
  if (patch === null || patch === undefined) return;
  const [x, y, w, h] = rectangle(patch);
  for (const [style, width] of [["#000000", line + 4], ["#ffffff", line + 2], [color, line]]) {
    context.strokeStyle = style;
    context.lineWidth = width;
    context.strokeRect(x, y, w, h);
  }
}

// A small picture of one layer: colors only.
function paintThumbnail(canvas, pane, picture, look, slot) {
  const context = canvas.getContext("2d");
  context.fillStyle = look.background;
  context.fillRect(0, 0, canvas.width, canvas.height);
  for (const patch of look.patches) {
    const [x0, y0, x1, y1] = pane.box(patch);
    context.fillStyle = look.palette.color(shade(pane, slot, patch, look.color));
    const [x, y] = [Math.floor(x0 * canvas.width), Math.floor(y0 * canvas.height)];
    context.fillRect(
      x,
      y,
      Math.ceil(x1 * canvas.width) - x,
      Math.ceil(y1 * canvas.height) - y,
    );
  }
}

// A patch with its surroundings, the patch outlined.
function paintCrop(canvas, pane, picture, patch, accent) {
  const context = canvas.getContext("2d");
  const [x0, y0, x1, y1] = pane.box(patch);
  const [width, height] = [x1 - x0, y1 - y0];
  const { image } = picture;
  context.clearRect(0, 0, canvas.width, canvas.height);
  if (!image.naturalWidth) return;
  const [sx, sy] = [3 * width * image.naturalWidth, 3 * height * image.naturalHeight];
  const source = [(x0 - width) * image.naturalWidth, (y0 - height) * image.naturalHeight];
  context.drawImage(image, ...source, sx, sy, 0, 0, canvas.width, canvas.height);
  outline(
    context,
    patch,
    () => [canvas.width / 3, canvas.height / 3, canvas.width / 3, canvas.height / 3],
    accent,
    3,
  );
}
