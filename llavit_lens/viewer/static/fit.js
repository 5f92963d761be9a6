// Bounds the images so that tools, images and the layers in small are seen at once.

const LEAST_IMAGE = 200; // CSS pixels
const LEAST_TABLE = 200;
const NARROW = 560; // of style.css: on a telephone the image has the width, and the page scrolls

// root: the view's element; origin: where the room begins; height: of the room, in CSS pixels.
function fitInto(root, origin, height) {
  if (root.clientWidth <= NARROW) {
    for (const name of ["image", "panel"]) root.style.removeProperty(`--llavit-${name}-height`);
    return;
  }
  const top = origin.getBoundingClientRect().top;
  const place = (selector) => root.querySelector(selector)?.getBoundingClientRect();
  const [frame, strip, panel, table] = [".frame", ".strip", ".panel", ".scroller"].map(place);
  const around = frame.top - top + (strip.bottom - frame.bottom);
  const image = Math.max(LEAST_IMAGE, Math.floor(height - around - 2));
  root.style.setProperty("--llavit-image-height", `${image}px`);
  if (!table) return;
  const beside = panel.left >= frame.right;
  if (beside) {
    const most = Math.max(LEAST_TABLE, Math.floor(height - (table.top - top) - 4));
    root.style.setProperty("--llavit-panel-height", `${most}px`);
  } else root.style.removeProperty("--llavit-panel-height");
}
