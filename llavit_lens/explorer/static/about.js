// What the page shows, in a sentence; for new users three first steps, until they have read them.

const READ = "llavit-lens: first steps read";

function remembered() {
  try {
    return localStorage.getItem(READ) !== null;
  } catch {
    return false; // a browser that stores nothing
  }
}

export default function ({ data, parentElement }) {
  const [what, steps, button] = [".what", ".steps", "button"].map((part) =>
    parentElement.querySelector(part),
  );
  const show = (isNew) => {
    what.hidden = isNew;
    steps.hidden = button.hidden = !isNew;
  };
  button.onclick = () => {
    globalThis.llavitLensRead = true;
    try {
      localStorage.setItem(READ, "1");
    } catch {
      // the page that is open remembers it all the same
    }
    show(false);
  };
  show(Boolean(data?.isNew) && !globalThis.llavitLensRead && !remembered());
}
