// The notebook's side, for anywidget: the view in a shadow root, so that its style and that of the
// notebook do not meet. What the user pins and where goes to Python as `selected`.

function render({ model, el }) {
  const host = make("div");
  const inside = host.attachShadow({ mode: "open" });
  const root = make("main", "llavit-explorer");
  inside.append(make("style", "", STYLE), root);
  el.append(host);
  const { still, start } = model.get("view");
  const explorer = new PatchExplorer(root, still, start, (position) => report(position), {
    finder: true,
    fit: () => fitInto(root, host, model.get("height")),
  });
  explorer.setSearch(null, true);
  function report({ slot, pin }) {
    const pane = explorer.panes[0];
    const place = pin === null ? null : [pane.layers[slot] ?? 0, ...pane.place(pin)];
    model.set("selected", place);
    model.save_changes();
  }
  return () => explorer.close();
}

export default { render };
