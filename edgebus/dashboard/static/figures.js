// Figures for people, as `edgebus top` writes them.

export const count = (it) => (it === null || it === undefined ? "–" : Math.round(it).toLocaleString("en"));

export const rate = (it) => (it === null || it === undefined ? "–" : it === 0 || it >= 10 ? count(it) : it.toFixed(1));

export function amount(bytes) {
  if (bytes === null || bytes === undefined) return "–";
  const units = ["B", "KB", "MB", "GB", "TB"];
  let at = 0;
  for (; bytes >= 1000 && at < units.length - 1; at += 1) bytes /= 1000;
  return `${at === 0 || bytes >= 10 ? bytes.toFixed(0) : bytes.toFixed(1)} ${units[at]}`;
}

export function span(ms) {
  if (ms === null || ms === undefined || !Number.isFinite(ms)) return "–";
  if (ms < 1) return "< 1 ms";
  if (ms < 1000) return `${ms.toFixed(0)} ms`;
  if (ms < 120_000) return `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`;
  if (ms < 7_200_000) return `${Math.floor(ms / 60_000)} min`;
  return ms < 172_800_000 ? `${Math.floor(ms / 3_600_000)} h` : `${Math.floor(ms / 86_400_000)} d`;
}

/** The time of day, with milliseconds, in the reader's zone. */
export function clock(ms) {
  if (!Number.isFinite(ms)) return "–";
  const at = new Date(ms);
  const two = (it) => String(it).padStart(2, "0");
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${String(at.getMilliseconds()).padStart(3, "0")}`;
}

/** Milliseconds of a position: the time when Redis appended the event. */
export const positionMs = (it) => (/^\d{1,15}-\d+$/.test(it ?? "") ? Number(it.split("-")[0]) : null);
