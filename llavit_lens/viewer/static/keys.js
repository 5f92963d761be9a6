// What keys do while an image has the focus.

const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function onKey(explorer, event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return; // for the browser
  const { key } = event;
  const { pin, slot } = explorer.state;
  const [lead, { patches }] = [explorer.panes[0], explorer.lattice(0)];
  if (STEPS[key]) {
    const first = () => lead.nearest([0.5, 0.5], patches);
    const next = pin === null ? first() : lead.neighbor(pin, ...STEPS[key], patches);
    explorer.change({ pin: next });
    explorer.reveal(next);
  } else if (key === "PageUp") explorer.goToSlot(slot + 1);
  else if (key === "PageDown") explorer.goToSlot(slot - 1);
  else if (key === "+" || key === "=") explorer.zoom(1.6, explorer.zoomState.center);
  else if (key === "-") explorer.zoom(1 / 1.6, explorer.zoomState.center);
  else if (key === "0") explorer.fit();
  else if (key === " ") explorer.controls.play.click();
  else if (key === "Escape") explorer.change({ pin: null });
  else return;
  event.preventDefault();
}
