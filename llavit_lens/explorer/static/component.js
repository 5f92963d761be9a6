// The app's side: mounts the view where Streamlit wants it, and again only when its data changed.
// Data is bytes: a line with an identity, a line of JSON that belongs to it, then JSON that may
// change while the identity stays.

const mounted = new WeakMap();
let last = {}; // identity and choice: a view that comes back is where the person left it

export default function ({ data, parentElement, setStateValue }) {
  const root = parentElement.querySelector(".llavit-explorer");
  if (!root || !data) return undefined;
  const text = new TextDecoder().decode(data);
  const first = text.indexOf("\n");
  const second = text.indexOf("\n", first + 1);
  const identity = text.slice(0, first);
  const moving = text.slice(second + 1);
  const tell = (chosen) => {
    last = { identity, chosen };
    setStateValue("view", chosen);
  };
  const known = mounted.get(root);
  if (!known || known.identity !== identity) {
    if (known) known.view.close();
    const { start, search } = JSON.parse(moving);
    const still = JSON.parse(text.slice(first + 1, second));
    if (last.identity !== identity) last = { identity, chosen: start };
    const view = new PatchExplorer(root, still, last.chosen, tell);
    mounted.set(root, { identity, view, search: JSON.stringify(search) });
    view.setSearch(search, true);
  } else {
    const { search } = JSON.parse(moving);
    const found = JSON.stringify(search);
    if (found === known.search) known.view.render(); // the theme may have changed
    else known.view.setSearch(search);
    known.search = found;
    known.view.tell = tell;
  }
  return () => {
    mounted.get(root)?.view.close();
    mounted.delete(root);
  };
}
