// The saved page's side: a click shows the image large; arrow keys go to the one before and after.

const { tiles, large } = JSON.parse(document.getElementById("data").textContent);
const dialog = document.querySelector("dialog");
const part = (name) => dialog.querySelector(`.${name}`);
let shown = 0;

function show(number) {
  shown = number;
  const tile = tiles[number];
  const stage = part("stage");
  if (tile.whole) {
    const view = framed({ ...tile.whole, url: large[tile.large] }, `${tile.name}, with the patch marked.`);
    stage.replaceChildren(view.firstChild);
    stage.firstChild.style.width = "";
    stage.firstChild.style.setProperty("--shape", tile.whole.shape);
  } else {
    stage.replaceChildren(make("p", "fault", tile.fault));
  }
  part("about").textContent = `“${tile.word}”: ${tile.value}, ${tile.where}. ${tile.name}`;
  part("place").textContent = `${number + 1} of ${tiles.length}`;
  part("before").disabled = number === 0;
  part("after").disabled = number === tiles.length - 1;
  if (!dialog.open) dialog.showModal();
}

const step = (by) => {
  const next = shown + by;
  if (next >= 0 && next < tiles.length) show(next);
};
part("before").onclick = () => step(-1);
part("after").onclick = () => step(1);
part("close").onclick = () => dialog.close();
dialog.addEventListener("keydown", (event) => {
  if (event.key === "ArrowLeft") step(-1);
  if (event.key === "ArrowRight") step(1);
});
dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
dialog.addEventListener("close", () => document.querySelectorAll(".hit")[shown]?.focus());
showSheet(document.querySelector(".llavit-sheet"), tiles, show);
