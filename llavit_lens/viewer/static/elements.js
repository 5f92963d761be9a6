// Small helpers for elements of the page.

// An element with a class, a text and children; the text is never parsed.
function make(tag, className, text, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined && text !== null) element.textContent = text;
  element.append(...children);
  return element;
}

// Scrolls a box (of position: relative), and nothing around it, until an element in it is visible.
// side, length: "Top" and "Height", or "Left" and "Width".
function showWithin(box, element, side, length) {
  const most = element[`offset${side}`];
  const least = most + element[`offset${length}`] - box[`client${length}`];
  box[`scroll${side}`] = Math.min(most, Math.max(least, box[`scroll${side}`]));
}

// Fades the edges of a row behind which there is more to scroll to.
function fadeEdges(row) {
  const update = () => {
    const rest = row.scrollWidth - row.clientWidth - row.scrollLeft;
    row.classList.toggle("fades-left", row.scrollLeft > 1);
    row.classList.toggle("fades-right", rest > 1);
  };
  row.addEventListener("scroll", update, { passive: true });
  new ResizeObserver(update).observe(row);
  new MutationObserver(update).observe(row, { childList: true });
}

// Rebuilds the content of an element; the button that had the focus has it again.
function keepingFocus(element, build) {
  const buttons = () => Array.from(element.querySelectorAll("button"));
  const focused = buttons().indexOf(element.getRootNode().activeElement);
  build();
  if (focused < 0) return;
  buttons()[Math.min(focused, buttons().length - 1)]?.focus({ preventScroll: true });
}
