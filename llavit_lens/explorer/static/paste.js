// An image from the clipboard: Ctrl+V anywhere on the page, unless a text field has the focus.

const MOST_PASTED = 12 * 1024 * 1024;
const listening = new WeakMap();

export default function ({ parentElement, setTriggerValue }) {
  const line = parentElement.querySelector(".llavit-paste");
  if (!line) return undefined;
  const paste = (event) => {
    const files = Array.from(event.clipboardData?.files ?? []);
    const picture = files.find((file) => file.type.startsWith("image/"));
    if (!picture) return;
    event.preventDefault();
    if (picture.size > MOST_PASTED) {
      line.textContent = "That image is larger than 12 MB: upload a smaller one.";
      return;
    }
    const reader = new FileReader();
    reader.onload = () => setTriggerValue("picture", String(reader.result));
    reader.readAsDataURL(picture);
  };
  const before = listening.get(line);
  if (before) document.removeEventListener("paste", before);
  document.addEventListener("paste", paste);
  listening.set(line, paste);
  return () => document.removeEventListener("paste", listening.get(line));
}
