// One accent colour for each service: the built-in ones have their own, others get what is left, in order.

const KNOWN = ["mahavishnu", "akosha", "crackerjack", "session-buddy", "dhruva", "excalidraw", "fastblocks"];
const OTHERS = 3;
const others = new Map();

/** The class of a service's colour. */
export function colour(service) {
  const at = KNOWN.indexOf(service);
  if (at >= 0) return `s${at}`;
  if (!service) return "s-none";
  if (!others.has(service)) others.set(service, KNOWN.length + (others.size % OTHERS));
  return `s${others.get(service)}`;
}
