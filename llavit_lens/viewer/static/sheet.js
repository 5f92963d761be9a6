// A contact sheet: each patch that was found in its image, near, and with what was read there.

// An image in a frame of its shape, with a mark around a part of it.
function framed({ url, shape, box }, alt) {
  const image = make("img");
  Object.assign(image, { src: url, alt, loading: "lazy", decoding: "async", draggable: false });
  const frame = make("span", "frame", null, image);
  frame.style.aspectRatio = String(shape);
  frame.style.width = `${100 * Math.min(1, shape)}%`;
  if (box) {
    const mark = make("span", "mark");
    const [left, top, right, bottom] = box.map((share) => 100 * share);
    Object.assign(mark.style, {
      left: `${left}%`, top: `${top}%`, width: `${right - left}%`, height: `${bottom - top}%`,
    });
    frame.append(mark);
  }
  return make("span", "square", null, frame);
}

function tileOf(tile) {
  const views = make("span", "views");
  if (tile.whole) {
    views.append(framed(tile.whole, `${tile.name}, with the patch marked.`));
    const near = tile.near && framed(tile.near, "The patch and what is around it.");
    views.append(near || make("span", "fault", tile.fault));
  } else {
    views.append(make("span", "fault gone", tile.fault));
  }
  const line = make("span", "line", null, make("b", null, tile.word), make("span", null, tile.value));
  const name = make("span", "name", null, make("bdi", null, tile.name));
  const hit = make("button", "hit", null, views, line, make("span", "where", tile.where), name);
  hit.type = "button";
  hit.title = tile.name;
  return hit;
}

// Fills the root with tiles; choose(number) is called with the one that is clicked.
function showSheet(root, tiles, choose) {
  const list = make("ol", "hits");
  tiles.forEach((tile, number) => {
    const hit = tileOf(tile);
    hit.addEventListener("click", () => choose(number));
    list.append(make("li", null, null, hit));
  });
  root.replaceChildren(list);
}
