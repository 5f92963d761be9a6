// Which part of the picture is seen: its center, in fractions of the picture, and how many times as
// large as the whole that fits.

const FARTHEST = 24;
const WHOLE = { scale: 1, center: [0.5, 0.5] };

const inside = (share) => Math.max(0, Math.min(1, share));

// Nearer by a factor; the place `at` stays where it is.
function zoomedBy(zoom, factor, at) {
  const scale = Math.max(1, Math.min(FARTHEST, zoom.scale * factor));
  if (scale === 1) return WHOLE;
  const kept = zoom.scale / scale;
  return { scale, center: zoom.center.map((c, axis) => inside(at[axis] + (c - at[axis]) * kept)) };
}

function movedBy(zoom, by) {
  return { ...zoom, center: zoom.center.map((c, axis) => inside(c - by[axis])) };
}

// With a place in view.
function showing(zoom, place) {
  const half = 0.4 / zoom.scale;
  const center = zoom.center.map((c, axis) =>
    inside(Math.max(place[axis] - half, Math.min(place[axis] + half, c))),
  );
  return { ...zoom, center };
}
