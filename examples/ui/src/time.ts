// How long something lasts, from moments that come as arguments.

/** Whole seconds from one moment (ms) to another, 0 where it has passed. */
export function secondsUntil(endMs: number, nowMs: number): number {
  return Math.max(0, Math.ceil((endMs - nowMs) / 1000));
}

/** `3725` is "1 h 2 min 5 s"; parts that are nought are left out. */
export function inWords(seconds: number): string {
  const parts: [number, string][] = [
    [Math.floor(seconds / 3600), "h"],
    [Math.floor(seconds / 60) % 60, "min"],
    [seconds % 60, "s"],
  ];
  return parts.filter(([count]) => count > 0).map((part) => part.join(" ")).join(" ") || "0 s";
}
