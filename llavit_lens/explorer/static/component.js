// The app's side: mounts the view where Streamlit wants it, and again only when its words change.
// This component gets what is large and stays: a line with an identity, and a line of JSON.
// What changes often goes to moving.js; `llavitLens` holds the data of both.

const shared = (globalThis.llavitLens ??= {});

// Shows the view once both have their data, about the same words.
shared.show = () => {
  const { root, identity, body, moving } = shared;
  if (!root || !moving || moving.identity !== identity) return;
  const { start, turn } = moving;
  const search = JSON.stringify(moving.search);
  if (shared.view && shared.mounted !== identity) close();
  if (!shared.view) {
    // a view that is mounted again is where the user left it, unless the page went elsewhere
    const position = shared.last?.turn === turn ? shared.last.position : start;
    shared.last = { turn, position };
    shared.view = new PatchExplorer(root, JSON.parse(body), position, report);
    shared.view.setSearch(moving.search, true);
    Object.assign(shared, { mounted: identity, search });
  } else if (shared.search !== search) {
    shared.search = search;
    shared.view.setSearch(moving.search);
  }
  if (shared.last.turn !== turn) {
    shared.last = { turn, position: start };
    shared.view.moveTo(start);
    shared.view.colorOptions();
  }
};

function report(position) {
  shared.last.position = position;
  shared.setStateValue("view", { ...position, turn: shared.last.turn });
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
  shared.show();
  if (before && before === shared.view) before.render(); // the theme may have changed
  return () => {
    if (shared.root !== root) return;
    if (shared.view) close();
    shared.root = null;
  };
}
