// The app's side: mounts the view where Streamlit wants it, and again only when its words changed.
// What is large comes here and stays: a line with an identity, a line of JSON that belongs to it.
// What changes often comes to moving.js; the two meet in `llavitLens`.

const shared = (globalThis.llavitLens ??= {});

// Once both are there and about the same words: show them.
shared.meet = () => {
  const { root, identity, body, moving } = shared;
  if (!root || !moving || moving.identity !== identity) return;
  const { start, turn } = moving;
  const search = JSON.stringify(moving.search);
  if (shared.view && shared.shown !== identity) close();
  if (!shared.view) {
    // a view that comes back is where the person left it, unless the page has gone elsewhere
    const from = shared.last?.turn === turn ? shared.last.chosen : start;
    shared.last = { turn, chosen: from };
    shared.view = new PatchExplorer(root, JSON.parse(body), from, tell);
    shared.view.setSearch(moving.search, true);
    Object.assign(shared, { shown: identity, search });
  } else if (shared.search !== search) {
    shared.search = search;
    shared.view.setSearch(moving.search);
  }
  if (shared.last.turn !== turn) {
    shared.last = { turn, chosen: start };
    shared.view.begin(start);
    shared.view.colorOptions();
  }
};

function tell(chosen) {
  shared.last.chosen = chosen;
  shared.setStateValue("view", { ...chosen, turn: shared.last.turn });
}

function close() {
  shared.view.close();
  shared.view = null;
}

export default function ({ data, parentElement, setStateValue }) {
  const root = parentElement.querySelector(".llavit-explorer");
  if (!root || !data) return undefined;
  if (shared.view && shared.root !== root) close();
  const text = new TextDecoder().decode(data);
  const end = text.indexOf("\n");
  Object.assign(shared, { root, setStateValue, identity: text.slice(0, end), body: text.slice(end + 1) });
  const before = shared.view;
  shared.meet();
  if (before && before === shared.view) before.render(); // the theme may have changed
  return () => {
    if (shared.root !== root) return;
    if (shared.view) close();
    shared.root = null;
  };
}
