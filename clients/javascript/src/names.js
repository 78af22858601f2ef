// Names of channels: one spelling of an id, percent-encoded (docs/wire.md, "Names of channels").

const PLAIN = /^[A-Za-z0-9:._@/+=~-]*$/;
const ESCAPED = /[!'()*]|%(?:3A|40|2F|2B|3D)/g;
const ID_LIMIT = 128;

const spelled = (id) =>
  encodeURIComponent(id).replace(ESCAPED, (it) =>
    it.length > 1 ? decodeURIComponent(it) : "%" + it.charCodeAt(0).toString(16).toUpperCase(),
  );

/** The name that events of a channel have; a name that is none stays as it is, for the edge to refuse. */
export function canonicalName(name) {
  const colon = name.indexOf(":");
  const id = colon < 0 ? "" : name.slice(colon + 1);
  if (PLAIN.test(id) || id.length > 3 * ID_LIMIT || id.endsWith("*")) return name;
  try {
    return name.slice(0, colon + 1) + spelled(decodeURIComponent(id));
  } catch {
    return name;
  }
}
