"use strict";

// The dashboard asks /api/health and /api/telemetry in turns and shows what they say. A round that got no
// answer changes the status and nothing else: the figures stay, marked as no longer of now.

const EVERY = 3000; // ms between the end of a round and the next
const PATIENCE = 4000; // ms after which a round counts as unanswered
const SPAN = 60_000; // ms that the share of errors and the trend look back

const STATES = {
  healthy: ["✓", "Healthy", "The service answers, and so does all that it stands on."],
  degraded: ["!", "Degraded", "The service answers, but something that it stands on is away."],
  unhealthy: ["✕", "Unhealthy", "The service is starting or draining: it should get no traffic."],
  silent: ["✕", "No answer", "The service does not answer."],
  unclear: ["?", "Unclear", "The service answers, but not with its health."],
};
const WELL = new Set(["healthy", "embedded"]); // words of a service that is as it should be
const ASIDE = new Set(["disabled"]); // and of one that is not wanted
const FAIR = new Set(["degraded"]); // and of one that does a part of its work
const LABELS = { api: "API", database: "Ledger", redis: "Redis" };
const SYMBOLS = { healthy: "✓", aside: "○", fair: "!", away: "✕" };

const NO_FIGURES =
  "The figures are not shown: this service gives its telemetry to service tokens of scope metrics only (METRICS_ACCESS=token).";

const $ = (id) => document.getElementById(id);
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

let looks = []; // {at, total, errors, rate} of the last SPAN
let answeredAt = null;
let timer = 0;

function put(id, text) {
  // An unchanged live region is left alone, so that a screen reader stays silent.
  if ($(id).textContent !== text) $(id).textContent = text;
}

function count(number) {
  return number < 100_000 ? whole.format(number) : compact.format(number);
}

function share(part, of) {
  if (!of) return "–";
  const percent = (100 * part) / of;
  if (part && percent < 0.01) return "< 0.01 %";
  if (part < of && percent > 99.99) return "> 99.99 %";
  return `${percent.toFixed(percent && percent < 1 ? 2 : 1)} %`;
}

function milliseconds(number) {
  if (number === null) return "–";
  return number < 10 ? `${number.toFixed(2)} ms` : `${whole.format(number)} ms`;
}

function perSecond(number) {
  if (number === null) return "–";
  return number < 10 ? number.toFixed(1) : count(number);
}

function duration(seconds) {
  const units = [[86_400, "d"], [3_600, "h"], [60, "min"], [1, "s"]];
  const first = units.findIndex(([size]) => seconds >= size);
  if (first < 0) return "0 s";
  return units
    .slice(first, first + 2)
    .map(([size, name], index) => [Math.floor((index ? seconds % units[first][0] : seconds) / size), name])
    .filter(([number], index) => number || !index)
    .map(([number, name]) => `${number} ${name}`)
    .join(" ");
}

function showStatus(state, sentence) {
  const [symbol, word, meaning] = STATES[state];
  $("status").dataset.status = state;
  put("symbol", symbol);
  put("word", word);
  put("sentence", sentence ?? meaning);
  document.title = `${word}: Arsenal Identity Service`;
}

function kind(word) {
  return WELL.has(word) ? "healthy" : ASIDE.has(word) ? "aside" : FAIR.has(word) ? "fair" : "away";
}

function showServices(services) {
  const rows = Object.entries(services).map(([name, word]) => {
    const row = document.createElement("li");
    const label = document.createElement("span");
    const state = document.createElement("span");
    label.textContent = LABELS[name] ?? name;
    state.dataset.status = kind(word);
    state.textContent = `${SYMBOLS[state.dataset.status]} ${word}`;
    row.append(label, state);
    return row;
  });
  $("services").replaceChildren(...rows);
}

function showLedger({ waiting, dropped }) {
  const parts = [];
  if (waiting) parts.push(`${count(waiting)} ${waiting === 1 ? "row waits" : "rows wait"} to be written`);
  if (dropped) parts.push(`${count(dropped)} ${dropped === 1 ? "was" : "were"} dropped`);
  put("backlog", parts.length ? `Ledger: ${parts.join(", ")}.` : "");
}

function showHealth(health) {
  showStatus(health.status in STATES ? health.status : "unclear");
  showServices(health.services);
  put("version", health.version);
  put("uptime", duration(health.uptime));
}

function showTelemetry({ requests, latency, cache, ledger, limiter, connections, workers }) {
  remember(requests);
  const first = looks[0];
  put("rate", perSecond(requests.rate));
  put("errors", share(requests.errors - first.errors, requests.total - first.total));
  put("total", count(requests.total));
  put("p50", milliseconds(latency.p50));
  put("p99", milliseconds(latency.p99));
  put("hits", share(cache.hits, cache.lookups));
  put("connections", count(connections.open));
  put("workers", count(workers));
  showLedger(ledger);
  showLimiter(limiter);
  drawTrend();
}

function remember({ total, errors, rate }) {
  const now = performance.now();
  // Fewer than before: the service was restarted, and the past is of another one.
  if (looks.length && total < looks.at(-1).total) looks = [];
  looks.push({ at: now, total, errors, rate });
  while (looks.length > 2 && looks[1].at < now - SPAN) looks.shift();
}

function drawTrend() {
  const now = performance.now();
  const highest = Math.max(1, ...looks.map(({ rate }) => rate ?? 0));
  const points = looks
    .filter(({ rate }) => rate !== null)
    .map(({ at, rate }) => `${(120 * (1 - (now - at) / SPAN)).toFixed(1)},${(30 - (28 * rate) / highest).toFixed(1)}`);
  $("trend").firstElementChild.setAttribute("points", points.join(" "));
}

function showLimiter({ policy, limit, window: seconds, allowed, denied, fallback }) {
  put("policy", policy === null ? "No limit is set." : `${count(limit)} requests in ${duration(seconds)} for each client.`);
  put("allowed", count(allowed));
  put("denied", count(denied));
  put("fallback", count(fallback));
  const checked = allowed + denied;
  $("share").toggleAttribute("data-any", checked > 0);
  $("share").firstElementChild.style.width = checked ? `${(100 * allowed) / checked}%` : "0";
  $("share").setAttribute(
    "aria-label",
    checked ? `${share(allowed, checked)} of the requests were allowed` : "No request was checked yet",
  );
}

function showSilence() {
  const since = answeredAt && `It last did at ${answeredAt.toLocaleTimeString()}; the figures are of then.`;
  showStatus("silent", `The service does not answer. ${since ?? ""}`.trim());
}

async function ask(path) {
  const answer = await fetch(path, {
    headers: { Accept: "application/json" },
    cache: "no-store",
    signal: AbortSignal.timeout(PATIENCE),
  });
  return answer.json(); // an unhealthy service answers 503, and a problem says its status, too
}

function mayNotRead(telemetry) {
  return telemetry.status === "fulfilled" && [401, 403].includes(telemetry.value.status);
}

async function round() {
  const [health, telemetry] = await Promise.allSettled([ask("health"), ask("telemetry")]);
  const fresh = telemetry.status === "fulfilled" && "requests" in telemetry.value;
  if (health.status === "fulfilled" && "services" in health.value) {
    answeredAt = new Date();
    showHealth(health.value);
    put("updated", `Updated at ${answeredAt.toLocaleTimeString()}, every ${EVERY / 1000} seconds.`);
  } else if (health.reason instanceof SyntaxError || health.status === "fulfilled") {
    showStatus("unclear");
  } else {
    showSilence();
  }
  if (fresh) showTelemetry(telemetry.value);
  put("denial", mayNotRead(telemetry) ? NO_FIGURES : "");
  document.body.toggleAttribute("data-stale", !fresh);
}

function paused() {
  return $("pause").getAttribute("aria-pressed") === "true";
}

async function turn() {
  clearTimeout(timer);
  try {
    await round();
  } finally {
    clearTimeout(timer);
    if (!paused() && !document.hidden) timer = setTimeout(turn, EVERY);
  }
}

$("pause").addEventListener("click", () => {
  const pausing = !paused();
  $("pause").setAttribute("aria-pressed", String(pausing));
  if (pausing) {
    clearTimeout(timer);
    put("updated", "Paused.");
  } else {
    turn();
  }
});
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && !paused()) turn();
});
turn();
