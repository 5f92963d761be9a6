// Neighboring patches with the same word, and where in such a region its word is best read.

// The patches of a view as cells of one lattice, whatever tiles they belong to.
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

// The places of numbers on a line; those less than `apart` from each other share one.
function ranks(values, apart) {
  const order = values.map((_, i) => i).sort((a, b) => values[a] - values[b]);
  const found = new Array(values.length);
  let [rank, last] = [-1, -Infinity];
  for (const i of order) {
    if (values[i] - last > apart) [rank, last] = [rank + 1, values[i]];
    found[i] = rank;
  }
  return found;
}

// Numbers in lattice.patches, grouped: `words` gives each its word, undefined for those left out.
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

// The rectangle [x0, y0, x1, y1] within a region in which a text can be largest, and of those the
// one nearest to the region's middle.
// size: of a text in a room of a width and a height; rectangle: of a patch's number, on the screen.
function roomiest(lattice, members, rectangle, size) {
  const own = new Set(members);
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
      heights[col - left] = own.has(lattice.at(row, col)) ? heights[col - left] + 1 : 0;
    }
    for (let last = left; last <= right; last++) {
      let height = Infinity;
      for (let first = last; first >= left && heights[first - left]; first--) {
        height = Math.min(height, heights[first - left]);
        const [x0, y0] = boxes.get(lattice.at(row - height + 1, first));
        const [, , x1, y1] = boxes.get(lattice.at(row, last));
        const found = size(x1 - x0, y1 - y0);
        if (found < best.size) continue;
        const apart = Math.hypot((x0 + x1) / 2 - middle[0], (y0 + y1) / 2 - middle[1]);
        if (found > best.size || apart < best.apart) {
          best = { size: found, apart, box: [x0, y0, x1, y1] };
        }
      }
    }
  }
  return best.box;
}
