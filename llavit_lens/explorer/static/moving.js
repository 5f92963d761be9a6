// What changes while the words stay: where the view starts, and the searched word. Shows nothing.

export default function ({ data }) {
  if (!data) return undefined;
  const shared = (globalThis.llavitLens ??= {});
  shared.moving = data;
  shared.show?.();
  return undefined;
}
