// The present moment, anew each second.
import { useEffect, useState } from "react";

/** Milliseconds since 1970; the component is rendered anew each second. */
export function useNow(): number {
  const [nowMs, setNowMs] = useState(() => Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNowMs(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  return nowMs;
}
