// What of the view changes while its words stay: where it starts, the searched word. Shows nothing.

export default function ({ data }) {
  if (!data) return undefined;
  const shared = (globalThis.llavitLens ??= {});
  shared.moving = data;
  shared.meet?.();
  return undefined;
}
