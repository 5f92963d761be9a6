// The address of the page to the clipboard: it is the link to this view.

const SECONDS = 2;

async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // a page without https has no clipboard but the old one
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

export default function ({ data, parentElement }) {
  const button = parentElement.querySelector("button");
  const said = parentElement.querySelector("[role=status]");
  const tip = data?.isOwn
    ? "The link does not hold your own image: who opens it has to upload the image again."
    : "A link to this view: image, model, question, layer and patch.";
  button.title = tip;
  button.onclick = async () => {
    const done = await copied(window.location.href);
    said.textContent = done ? `Copied. ${data?.isOwn ? tip : ""}` : "Copy it from the address line.";
    clearTimeout(button.timer);
    button.timer = setTimeout(() => (said.textContent = ""), SECONDS * (data?.isOwn ? 4000 : 1000));
  };
}
