// The saved page's side: the page holds its data.

const saved = JSON.parse(document.getElementById("data").textContent);
const view = new PatchExplorer(
  document.querySelector(".llavit-explorer"),
  saved.still,
  saved.start,
  () => {},
  { finder: true, fit: (root) => fitInto(root, document.body, window.innerHeight) },
);
view.setSearch(saved.search, true);
