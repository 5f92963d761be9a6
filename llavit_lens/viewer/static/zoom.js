// The visible part of the image: its center, in fractions of the image, and a scale; at scale 1 the
// whole image fits.

const MOST = 24;
const WHOLE = { scale: 1, center: [0.5, 0.5] };

const inside = (fraction) => Math.max(0, Math.min(1, fraction));

// Larger by a factor; the point `at` stays where it is.
function zoomedBy(zoom, factor, at) {
  const scale = Math.max(1, Math.min(MOST, zoom.scale * factor));
  if (scale === 1) return WHOLE;
  const kept = zoom.scale / scale;
  return { scale, center: zoom.center.map((c, axis) => inside(at[axis] + (c - at[axis]) * kept)) };
}

function pannedBy(zoom, step) {
  return { ...zoom, center: zoom.center.map((c, axis) => inside(c - step[axis])) };
}

// Moved so that a point is visible.
function withInView(zoom, point) {
  const half = 0.4 / zoom.scale;
  const center = zoom.center.map((c, axis) =>
    inside(Math.max(point[axis] - half, Math.min(point[axis] + half, c))),
  );
  return { ...zoom, center };
}
