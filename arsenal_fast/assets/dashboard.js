"use strict";

// The dashboard reads /api/health and /api/telemetry in turns. A round without an answer changes the status and nothing
// else: the figures stay, marked as old. The service counts neither of the two among the calls that are plotted.

const EVERY = 3000; // ms between the end of a round and the next
const PATIENCE = 4000; // ms after which a round counts as unanswered
const SPAN = 300_000; // ms that a plot shows

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

const BY_TOKEN =
  "The figures are not shown: this service gives its telemetry to service tokens of scope metrics only (METRICS_ACCESS=token).";
const NOT_HERE =
  "The figures are not shown: the proxy before this service does not let /api/telemetry through, or it is on another " +
  "port (MANAGEMENT_PORT). Open this page on that port, or on the service's own, for example after " +
  "kubectl port-forward service/identity-service 3655:80.";
const WITHHELD = { 401: BY_TOKEN, 403: BY_TOKEN, 404: NOT_HERE };

const NAMELESS = "Clients are named only for a service token of scope metrics, which this page forgets when it is closed.";
const NO_SUCH_TOKEN = "This token does not name the clients: it has expired, lacks the scope metrics, or is of another service.";

// Each list of callers: its member of the telemetry, and its title.
const RANKINGS = [["heaviest", "Most requests"], ["most_refused", "Refused (429) most often"]];

// Each plot: its title, its unit, and its lines (name, and the value of an interval; null is a gap).
const PLOTS = [
  ["Calls", "/s", [["", (at) => at.requests / at.seconds]]],
  ["Latency", "ms", [["p50", (at) => at.p50], ["p99", (at) => at.p99]]],
  ["Refused and errors", "/s", [
    ["429", (at) => at.refused / at.seconds],
    ["5xx", (at) => at.errors / at.seconds],
  ]],
  ["Redis round trip", "ms", [["", (at) => at.round_trip_ms]]],
  ["Rows waiting for the ledger", "", [["", (at) => at.waiting]]],
];
const PLOT = { width: 320, height: 120, left: 56, right: 4, top: 8, bottom: 20 };

const $ = (id) => document.getElementById(id);
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

let withheld = ""; // why there are no figures; they are not asked for again
let token = ""; // entered on this page, and kept nowhere else
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

function figure(number, unit) {
  if (number === null) return "–";
  const digits = Number.isInteger(number) || number >= 10 ? 0 : number < 1 ? 2 : 1;
  const text = digits ? number.toFixed(digits) : count(number);
  return unit === "/s" ? text + unit : `${text} ${unit}`.trim();
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

function showCauses({ reasons = {}, since = {}, runbooks = {} }) {
  const rows = Object.entries(reasons).map(([name, why]) => {
    const row = document.createElement("li");
    const runbook = document.createElement("a");
    const started = new Date(since[name]);
    row.textContent = `${LABELS[name] ?? name} is away since ${started.toLocaleTimeString()} (${duration((Date.now() - started) / 1000)}): ${why}. `;
    runbook.href = runbooks[name];
    runbook.textContent = "What to do";
    row.append(runbook);
    return row;
  });
  $("causes").replaceChildren(...rows);
}

function showHealth(health) {
  showStatus(health.status in STATES ? health.status : "unclear");
  showServices(health.services);
  showCauses(health);
  put("version", health.version);
  put("uptime", duration(health.uptime));
}

function showTelemetry({ requests, latency, cache, ledger, limiter, callers, connections, workers, history }) {
  put("total", count(requests.total));
  put("p50", milliseconds(latency.p50));
  put("p99", milliseconds(latency.p99));
  put("hits", share(cache.hits, cache.lookups));
  put("connections", count(connections.open));
  put("workers", count(workers));
  showLedger(ledger);
  showLimiter(limiter);
  showCallers(callers);
  $("plots").replaceChildren(...PLOTS.map((plot) => drawn(history, plot)));
}

// null: they are not named.
function showCallers(callers) {
  if (callers === null) {
    put("callers-note", token ? NO_SUCH_TOKEN : NAMELESS);
  } else {
    put("callers-note", `Charged requests of the last ${duration(callers.seconds)}, over all workers.`);
  }
  $("entry").hidden = callers !== null;
  $("rankings").replaceChildren(...(callers === null ? [] : RANKINGS.map((ranking) => ranked(callers, ranking))));
}

function ranked(callers, [name, title]) {
  const [table, body] = ["table", "tbody"].map((tag) => document.createElement(tag));
  const rows = callers[name].map(({ client, requests }) => [client, count(requests), figure(requests / Math.max(callers.seconds, 1), "")]);
  if (!rows.length) rows.push(["nobody", "", ""]);
  const error = callers[`${name}_error`];
  table.createCaption().textContent = error ? `${title}; each may have up to ${count(error)} more` : title;
  table.createTHead().append(tableRow("th", ["Client", "Requests", "A second"]));
  body.append(...rows.map((cells) => tableRow("td", cells)));
  table.append(body);
  return table;
}

function tableRow(tag, texts) {
  const made = document.createElement("tr");
  made.append(
    ...texts.map((text) => {
      const cell = document.createElement(tag);
      cell.textContent = text;
      if (tag === "th") cell.scope = "col";
      return cell;
    }),
  );
  return made;
}

function element(name, attributes, text = "") {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  return made;
}

// The least of 1, 2, 5, 10, ... (or of 0.1, 0.2, ...) that is not below the number: the top of an axis.
function roundUp(number) {
  const power = 10 ** Math.floor(Math.log10(number));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= number * 0.999);
}

// One line without gaps for each run of intervals that have a value.
function linesOf(history, value, x, y, css) {
  const runs = [[]];
  for (const at of history) {
    if (value(at) === null) runs.push([]);
    else runs.at(-1).push(`${x(Date.parse(at.at)).toFixed(1)},${y(value(at)).toFixed(1)}`);
  }
  // The first point twice: a line of one point is none, and with it a dot.
  return runs.filter((run) => run.length).map((run) => element("polyline", { points: `${run[0]} ${run.join(" ")}`, class: css }));
}

function drawn(history, [title, unit, lines]) {
  const { width, height, left, right, top, bottom } = PLOT;
  const end = history.length ? Date.parse(history.at(-1).at) : 0;
  const values = lines.flatMap(([, value]) => history.map(value)).filter((number) => number !== null);
  const highest = roundUp(Math.max(unit === "" ? 10 : 1, ...values));
  const x = (at) => width - right - ((end - at) / SPAN) * (width - left - right);
  const y = (value) => height - bottom - (value / highest) * (height - top - bottom);
  const plot = element("svg", { viewBox: `0 0 ${width} ${height}`, role: "img" });
  for (const value of [0, highest / 2, highest]) {
    plot.append(element("line", { x1: left, x2: width - right, y1: y(value), y2: y(value), class: "axis" }));
    plot.append(element("text", { x: left - 6, y: y(value) + 4, "text-anchor": "end" }, figure(value, unit)));
  }
  for (const minutes of [5, 3, 2, 1, 0]) {
    const anchor = minutes === 5 ? "start" : minutes ? "middle" : "end";
    const label = minutes ? `−${minutes}${minutes === 5 ? " min" : ""}` : "now";
    plot.append(element("text", { x: x(end - minutes * 60_000), y: height - 5, "text-anchor": anchor }, label));
  }
  lines.forEach(([, value], index) => plot.append(...linesOf(history, value, x, y, index ? "second" : "first")));
  const now = lines.map(([name, value]) => {
    const known = history.length ? figure(value(history.at(-1)), unit) : "–";
    return `${name} ${known}`.trim();
  });
  plot.setAttribute("aria-label", `${title} over the last five minutes; now ${now.join(", ")}`);
  return captioned(plot, title, now);
}

function captioned(plot, title, now) {
  const [whole, caption, values] = ["figure", "figcaption", "div"].map((tag) => document.createElement(tag));
  now.forEach((text, index) => {
    const value = document.createElement("span");
    value.textContent = text;
    value.className = index ? "second" : "first";
    values.append(value);
  });
  caption.append(title, values);
  whole.append(caption, plot);
  return whole;
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
    headers: token ? { Accept: "application/json", Authorization: `Bearer ${token}` } : { Accept: "application/json" },
    cache: "no-store",
    signal: AbortSignal.timeout(PATIENCE),
  });
  if (path === "telemetry") withheld = WITHHELD[answer.status] ?? "";
  return answer.json(); // an unhealthy service answers 503, and a problem says its status, too
}

async function round() {
  const asked = withheld ? Promise.reject(withheld) : ask("telemetry");
  const [health, telemetry] = await Promise.allSettled([ask("health"), asked]);
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
  put("denial", withheld);
  $("callers").hidden = withheld === NOT_HERE;
  if (withheld) showCallers(null);
  document.body.toggleAttribute("data-without-figures", withheld !== "");
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
$("entry").addEventListener("submit", (event) => {
  event.preventDefault();
  token = $("token").value.trim();
  $("token").value = "";
  withheld = "";
  turn();
});
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && !paused()) turn();
});
turn();
