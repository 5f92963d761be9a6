// Small helpers for elements of the page.

// An element with a class, a text and children; text is only ever set as text.
function make(tag, className, text, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined && text !== null) element.textContent = text;
  element.append(...children);
  return element;
}

// Scrolls a box (of position: relative), and nothing around it, until an element in it is seen.
function showWithin(box, element, side, length) {
  const from = element[`offset${side}`];
  const most = from + element[`offset${length}`] - box[`client${length}`];
  box[`scroll${side}`] = Math.min(from, Math.max(most, box[`scroll${side}`]));
}

// Builds what is in an element anew; the button in it that had the focus has it again.
function keepingFocus(element, build) {
  const buttons = () => Array.from(element.querySelectorAll("button"));
  const at = buttons().indexOf(element.getRootNode().activeElement);
  build();
  if (at >= 0) buttons()[Math.min(at, buttons().length - 1)]?.focus({ preventScroll: true });
}
