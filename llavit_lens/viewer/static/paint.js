// An image with its colors and words, painted on a canvas.

const RIGHT = "#00c853"; // outline of words that are true of their patch, as in the figures
const HEAT = new Set(["word", "difference"]); // colors that fill patches

// Where the image lies on the canvas, [start, length] for each axis: zoom.center is in the middle if
// the image is larger than its room.
function placement(size, room, zoom) {
  const scale = Math.min(room[0] / size[0], room[1] / size[1]) * zoom.scale;
  return [0, 1].map((axis) => {
    const length = size[axis] * scale;
    const start = room[axis] / 2 - zoom.center[axis] * length;
    const slack = room[axis] - length;
    return [slack > 0 ? slack / 2 : Math.min(0, Math.max(slack, start)), length];
  });
}

// Paints what `look` says (see `looks` in explorer.js). False if some words are cut or left out.
function paint(canvas, pane, picture, look) {
  const room = [canvas.clientWidth, canvas.clientHeight];
  const density = window.devicePixelRatio || 1;
  const pixels = room.map((length) => Math.round(length * density));
  if (canvas.width !== pixels[0]) canvas.width = pixels[0];
  if (canvas.height !== pixels[1]) canvas.height = pixels[1];
  const context = canvas.getContext("2d");
  context.setTransform(density, 0, 0, density, 0, 0);
  context.clearRect(0, 0, ...room);
  const [[left, width], [top, height]] = placement(picture.size, room, look.zoom);
  context.imageSmoothingQuality = "high";
  if (picture.image.complete && picture.image.naturalWidth) {
    context.drawImage(picture.image, left, top, width, height);
  }
  const rectangle = (patch) => {
    const [x0, y0, x1, y1] = pane.box(patch);
    return [left + x0 * width, top + y0 * height, (x1 - x0) * width, (y1 - y0) * height];
  };
  fadeUnseen(context, look, pane, [left, top, width, height]);
  const drawn = [];
  for (const patch of look.patches) {
    const [x, y, w, h] = rectangle(patch);
    if (x > room[0] || y > room[1] || x + w < 0 || y + h < 0) continue;
    const share = look.scale.share(pane, look.slot, patch);
    drawn.push({ patch, box: [x, y, w, h], share });
  }
  for (const cell of drawn) paintColor(context, cell, look);
  let whole = true;
  if (look.words === "each") whole = drawWordsOnPatches(context, pane, drawn, look);
  if (look.words === "merged") whole = drawWordsOnRegions(context, pane, drawn, look, room);
  outline(context, look.hovered, rectangle, "#ffffff", 1);
  outline(context, look.pinned, rectangle, look.accent, 3);
  return whole;
}

// Fades the parts of the image that the model does not see.
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

function paintColor(context, { box: [x, y, w, h], share }, look) {
  if (share !== null && !(look.words === "each" && look.barred(h))) {
    context.globalAlpha = cover(share);
    context.fillStyle = look.palette.color(share);
    context.fillRect(x, y, w, h);
    context.globalAlpha = 1;
  }
  context.strokeStyle = `rgba(255, 255, 255, ${look.words === "each" ? 0.45 : 0.15})`;
  context.lineWidth = 0.5;
  context.strokeRect(x, y, w, h);
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

// One layer in small: colors only.
function paintThumbnail(canvas, pane, look, slot) {
  const context = canvas.getContext("2d");
  context.fillStyle = look.background;
  context.fillRect(0, 0, canvas.width, canvas.height);
  for (const patch of look.patches) {
    const [x0, y0, x1, y1] = pane.box(patch);
    context.fillStyle = look.palette.color(look.scaleAt(slot).share(pane, slot, patch));
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
