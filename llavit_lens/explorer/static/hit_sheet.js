// The app's side of a contact sheet: a click tells which hit it was, and of which search.

const mounted = new WeakMap();

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".llavit-sheet");
  if (!root || !data || mounted.get(root) === data.identity) return;
  mounted.set(root, data.identity);
  showSheet(root, data.tiles, (number) => setTriggerValue("hit", { number, identity: data.identity }));
}
