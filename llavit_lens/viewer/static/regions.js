// Regions of neighboring patches with the same word, and where in a region its word has most room.

// The patches of a view as cells of one lattice, also across tiles.
class Lattice {
  constructor(pane, patches) {
    this.patches = patches;
    this.number = new Map(patches.map((patch, i) => [patch, i]));
    const boxes = patches.map((patch) => pane.box(patch));
    const along = (axis) =>
      ranks(
        boxes.map((box) => (box[axis] + box[axis + 2]) / 2),
        0.3 * Math.max(0, ...boxes.map((box) => box[axis + 2] - box[axis])),
      );
    [this.cols, this.rows] = [along(0), along(1)];
    this.columns = 1 + Math.max(-1, ...this.cols);
    this.lines = 1 + Math.max(-1, ...this.rows);
    this.cells = new Int32Array(this.columns * this.lines).fill(-1); // numbers in `patches`
    patches.forEach((_, i) => {
      this.cells[this.rows[i] * this.columns + this.cols[i]] = i;
    });
  }
  // The number of the patch in a cell, -1 if there is none.
  at(row, col) {
    const inside = row >= 0 && col >= 0 && row < this.lines && col < this.columns;
    return inside ? this.cells[row * this.columns + col] : -1;
  }
}

// The ranks of numbers; those less than `gap` from each other share one.
function ranks(values, gap) {
  const order = values.map((_, i) => i).sort((a, b) => values[a] - values[b]);
  const result = new Array(values.length);
  let [rank, last] = [-1, -Infinity];
  for (const i of order) {
    if (values[i] - last > gap) [rank, last] = [rank + 1, values[i]];
    result[i] = rank;
  }
  return result;
}

// Indices into lattice.patches, grouped by region. `words`: a word for each; undefined: left out.
function regionsOf(lattice, words) {
  const region = new Int32Array(words.length).fill(-1);
  const regions = [];
  for (let i = 0; i < words.length; i++) {
    if (words[i] === undefined || region[i] >= 0) continue;
    const members = [i];
    region[i] = regions.length;
    for (let next = 0; next < members.length; next++) {
      const [row, col] = [lattice.rows[members[next]], lattice.cols[members[next]]];
      for (const [down, right] of [[0, 1], [1, 0], [0, -1], [-1, 0]]) {
        const other = lattice.at(row + down, col + right);
        if (other < 0 || region[other] >= 0 || words[other] !== words[i]) continue;
        region[other] = regions.length;
        members.push(other);
      }
    }
    regions.push({ word: words[i], members });
  }
  return { region, regions };
}

// The rectangle [x0, y0, x1, y1] within a region in which a text can be largest; of several the one
// nearest to the region's middle.
// members: indices into lattice.patches; rectangle: gives the place of such an index on the screen.
// size: gives the size of the text in a room of some width and height.
function largestRectangle(lattice, members, rectangle, size) {
  const inRegion = new Set(members);
  const rows = members.map((i) => lattice.rows[i]);
  const cols = members.map((i) => lattice.cols[i]);
  const [top, bottom] = [Math.min(...rows), Math.max(...rows)];
  const [left, right] = [Math.min(...cols), Math.max(...cols)];
  const boxes = new Map(members.map((i) => [i, rectangle(i)]));
  const middle = [0, 1].map((axis) => {
    const centers = [...boxes.values()].map((box) => (box[axis] + box[axis + 2]) / 2);
    return centers.reduce((a, b) => a + b) / centers.length;
  });
  const heights = new Array(right - left + 1).fill(0);
  let best = { size: -1 };
  for (let row = top; row <= bottom; row++) {
    for (let col = left; col <= right; col++) {
      heights[col - left] = inRegion.has(lattice.at(row, col)) ? heights[col - left] + 1 : 0;
    }
    for (let last = left; last <= right; last++) {
      let height = Infinity;
      for (let first = last; first >= left && heights[first - left]; first--) {
        height = Math.min(height, heights[first - left]);
        const [x0, y0] = boxes.get(lattice.at(row - height + 1, first));
        const [, , x1, y1] = boxes.get(lattice.at(row, last));
        const textSize = size(x1 - x0, y1 - y0);
        if (textSize < best.size) continue;
        const distance = Math.hypot((x0 + x1) / 2 - middle[0], (y0 + y1) / 2 - middle[1]);
        if (textSize > best.size || distance < best.distance) {
          best = { size: textSize, distance, box: [x0, y0, x1, y1] };
        }
      }
    }
  }
  return best.box ?? boxes.get(members[0]); // where tiles overlap, one patch may hide another
}
