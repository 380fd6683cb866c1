// Draws /api/v1/status and /api/v1/requests once a second. Paths, methods and reasons may come from
// strangers: they are only ever set as text, never as markup.
"use strict";

const byId = (id) => document.getElementById(id);
const KEPT_RATES = 60;
const rates = [];
let last = null;
let choice = "all";
let requests = [];

function node(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined && text !== null) made.textContent = String(text);
  return made;
}

function put(id, text) {
  const place = byId(id);
  if (place.textContent !== text) place.textContent = text;
}

const count = (number) => Number(number).toLocaleString("en-US");

function short(number) {
  if (number < 10000) return count(number);
  const [by, unit] = number < 1e6 ? [1e3, "k"] : [1e6, "M"];
  return (number / by).toFixed(number / by < 100 ? 1 : 0) + unit;
}

function percent(ratio) {
  return ratio === null || ratio === undefined ? "–" : (ratio * 100).toFixed(ratio > 0.995 && ratio < 1 ? 1 : 0) + "%";
}

function milliseconds(value) {
  if (value === null || value === undefined) return ["–", ""];
  if (value < 0.05) return ["<0.1", "ms"];
  if (value >= 10000) return [(value / 1000).toFixed(1), "s"];
  return [value < 10 ? value.toFixed(1) : value.toFixed(0), "ms"];
}

function bytes(value) {
  for (const unit of ["B", "KiB", "MiB", "GiB"]) {
    if (value < 1024 || unit === "GiB") return value.toFixed(unit === "B" || value >= 100 ? 0 : 1) + " " + unit;
    value /= 1024;
  }
  return "";
}

function lasting(seconds) {
  if (seconds < 60) return Math.floor(seconds) + " s";
  if (seconds < 3600) return Math.floor(seconds / 60) + " min " + Math.floor(seconds % 60) + " s";
  if (seconds < 86400) return Math.floor(seconds / 3600) + " h " + Math.floor((seconds % 3600) / 60) + " min";
  return Math.floor(seconds / 86400) + " d " + Math.floor((seconds % 86400) / 3600) + " h";
}

function meter(share) {
  const outer = node("div", "meter");
  const inner = node("i");
  inner.style.width = Math.max(0, Math.min(1, share || 0)) * 100 + "%";
  outer.append(inner);
  return outer;
}

function labelled(label, className, ...inside) {
  const cell = node("td", className);
  cell.dataset.label = label;
  cell.append(...inside);
  return cell;
}

function timeCell(label, value) {
  const [figure, unit] = milliseconds(value);
  return labelled(label, "number", figure, node("span", "unit", unit && " " + unit));
}

function drawRate(status) {
  const now = { requests: status.totals.requests, uptime: status.uptime };
  if (last && now.uptime > last.uptime && now.requests >= last.requests) {
    rates.push((now.requests - last.requests) / (now.uptime - last.uptime));
    if (rates.length > KEPT_RATES) rates.shift();
  } else if (last && now.uptime < last.uptime) {
    rates.length = 0; // it was started anew
  }
  last = now;
  if (!rates.length) return;
  const newest = rates[rates.length - 1];
  put("rate", newest < 10 ? newest.toFixed(1) : short(Math.round(newest)));
  const top = Math.max(1, ...rates);
  const points = rates.map((rate, at) => {
    const x = 240 - (rates.length - 1 - at) * (240 / (KEPT_RATES - 1));
    return x.toFixed(1) + " " + (54 - (rate / top) * 46).toFixed(1);
  });
  const line = "M" + points.join("L");
  const first = points[0].split(" ")[0];
  byId("spark").querySelector(".line").setAttribute("d", line);
  byId("spark").querySelector(".area").setAttribute("d", line + "L240 56L" + first + " 56Z");
}

function drawTotals(status) {
  const totals = status.totals;
  put("version", "v" + status.version);
  put("uptime", lasting(status.uptime));
  put("inflight", count(totals.inflight));
  put("requests", count(totals.requests));
  put("ratio", percent(totals.hit_ratio));
  byId("ratio-bar").style.width = (totals.hit_ratio || 0) * 100 + "%";
  put("hits", count(totals.hits));
  put("retries", short(totals.retries));
  put("attempts", count(totals.attempts));
  put("errors", short(totals.errors));
  put("errors-share", totals.errors ? percent(totals.errors / Math.max(1, totals.requests)) + " of requests" : "none so far");
  byId("errors-tile").classList.toggle("alarm", totals.errors > 0);
  const pill = byId("ready");
  pill.className = "pill " + (status.ready ? "good" : "bad");
  put("ready", status.ready ? "ready" : "draining");
}

function drawUpstreams(rows) {
  const drawn = rows.map((row) => {
    const line = node("tr");
    const name = labelled("Name", "name", row.name);
    const about = [row.prefix, row.url, row.credential].filter(Boolean).join(" · ");
    if (about) name.append(node("span", "about", about));
    const ratio = node("div", "row");
    ratio.append(meter(row.hit_ratio), node("span", "", percent(row.hit_ratio)));
    line.append(
      name,
      labelled("Requests", "number", short(row.requests)),
      labelled("Hit ratio", "ratio", ratio),
      labelled("Retries", "number" + (row.retries ? " warm" : ""), short(row.retries)),
      labelled("Errors", "number" + (row.errors ? " hot" : ""), short(row.errors)),
      timeCell("p50", row.p50_ms),
      timeCell("p95", row.p95_ms),
      labelled("Now", "number", count(row.inflight)),
    );
    return line;
  });
  byId("upstreams").replaceChildren(...drawn);
  byId("no-upstreams").hidden = drawn.length > 0;
}

function drawCaches(rows) {
  byId("caches-panel").hidden = !rows.length;
  const drawn = rows.map((row) => {
    const line = node("div", "cache");
    const fill = bytes(row.bytes) + (row.max_bytes ? " of " + bytes(row.max_bytes) : "");
    line.append(node("b", "", row.store), meter(row.max_bytes ? row.bytes / row.max_bytes : 0));
    line.append(node("span", "quiet", count(row.entries) + (row.entries === 1 ? " entry, " : " entries, ") + fill));
    return line;
  });
  byId("caches").replaceChildren(...drawn);
}

const CHOICES = {
  all: () => true,
  upstream: (row) => row.attempts > 0,
  retried: (row) => row.attempts > 1,
  failed: (row) => row.error || row.cut || row.status >= 500 || row.status === 0,
};

function drawRequests() {
  const drawn = requests.filter(CHOICES[choice]).map((row) => {
    const line = node("tr");
    const path = node("td", "path");
    const asked = node("div");
    asked.append(node("b", "", row.method), node("span", "", row.path || "–"));
    path.append(asked);
    const cache = node("td");
    cache.append(node("span", "chip " + (/^[a-z]+$/.test(row.cache) ? row.cache : ""), row.cache));
    const why = row.error || (row.cut ? "cut short" : row.reason);
    if (why) cache.append(node("span", "why" + (row.error || row.cut ? " bad" : ""), why));
    const status = node("td", "status s" + Math.floor(row.status / 100), row.status || "–");
    const [figure, unit] = milliseconds(row.ms);
    const took = node("td", "number", figure);
    took.append(node("span", "unit" + (unit === "ms" ? " understood" : ""), " " + unit));
    const when = new Date(row.at * 1000).toLocaleTimeString([], { hour12: false });
    line.append(node("td", "when", when), path, status, cache);
    line.append(node("td", "number tries" + (row.attempts > 1 ? " warm" : ""), row.attempts), took);
    return line;
  });
  byId("recent").replaceChildren(...drawn);
  const none = byId("no-requests");
  none.hidden = drawn.length > 0;
  if (requests.length) none.textContent = "None of the last " + requests.length + " requests is of this kind.";
}

async function fetched(path) {
  const answer = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(5000) });
  if (!answer.ok) throw new Error(String(answer.status));
  return answer.json();
}

async function refresh() {
  try {
    const [status, recent] = await Promise.all([fetched("/api/v1/status"), fetched("/api/v1/requests?limit=100")]);
    requests = recent.requests;
    drawRate(status);
    drawTotals(status);
    drawUpstreams(status.upstreams);
    drawCaches(status.caches);
    drawRequests();
    document.body.classList.remove("stalled");
  } catch {
    document.body.classList.add("stalled");
    byId("ready").className = "pill bad";
    put("ready", "no answer");
  }
  setTimeout(refresh, document.hidden ? 5000 : 1000);
}

for (const button of document.querySelectorAll("[data-choice]")) {
  button.addEventListener("click", () => {
    choice = button.dataset.choice;
    for (const other of document.querySelectorAll("[data-choice]")) {
      other.setAttribute("aria-pressed", String(other === button));
    }
    drawRequests();
  });
}
refresh();
